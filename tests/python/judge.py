"""The independent judge: re-derives custody and every finding from the raw entries.

Reads all entries of a running ledger (with a regulator's token) or of a file of JSON lines
`{"index": n, "entry": "base64"}`, judges each record by its own state machine (`judge_state`,
`judge_rules`) and compares with the verdicts that the log committed. It verifies as well every
signature, every chain, the order of times and the Merkle root against the signed checkpoint.
Exit code: 0 when everything agrees, 1 on any difference, 2 when the entries can't be read.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Iterator

import grpc

import wire
from judge_rules import Ruling, judge, reported
from judge_state import REGULATOR, Statement, World, advance, read_statement

FINDING_KINDS = wire.record_pb.FindingKind
# The row of the table that counts subjects beside the chain.
BESIDE = "(beside the chain)"
REGULATORS_ONLY = frozenset(
    {"approve_party", "suspend_party", "approve_product", "set_thresholds"}
)


# -------------------------------------------------------------------------------------------------
# Where the entries come from
# -------------------------------------------------------------------------------------------------


def entries_of_file(path: Path) -> Iterator[tuple[int, bytes]]:
    """Index and bytes of each entry of a JSON lines file."""
    with path.open() as lines:
        for line in lines:
            if line.strip():
                row = json.loads(line)
                yield row["index"], base64.b64decode(row["entry"], validate=True)


def entries_of_server(
    channel: grpc.Channel, signer: wire.Signer, size: int
) -> Iterator[tuple[int, bytes]]:
    """Index and bytes of each entry below `size`."""
    registry = wire.registry_grpc.RegistryServiceStub(channel)
    found = registry.GetKey(wire.registry_pb.GetKeyRequest(id=signer.key_id))
    log = wire.log_grpc.LogServiceStub(channel)
    done = 0
    while done < size:
        # A token lives for minutes, a long log may need more than one stream.
        request = wire.log_pb.StreamEntriesRequest(first=done, end=size)
        before = done
        for answer in log.StreamEntries(request, metadata=wire.bearer(signer, found.key.party)):
            for row in answer.entries:
                yield row.index, row.entry
                done += 1
        if done == before:
            raise wire.Invalid(f"the stream ended at entry {done} of {size}")


# -------------------------------------------------------------------------------------------------
# Judging
# -------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """What the judge found out."""

    entries: int = 0
    signatures: int = 0
    root: str = ""
    committed: Counter[str] = field(default_factory=Counter)
    derived: Counter[str] = field(default_factory=Counter)
    both: Counter[str] = field(default_factory=Counter)
    undecided: int = 0
    differences: list[dict[str, Any]] = field(default_factory=list)
    # Whatever else is wrong with the log: signatures, chains, times, the root.
    faults: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether nothing is wrong."""
        return not self.differences and not self.faults

    def table(self) -> str:
        """Findings by kind."""
        header = f"{'kind':<24}{'committed':>11}{'derived':>11}{'both':>9}"
        lines = [header + f"{'only committed':>16}{'only derived':>14}"]
        for kind in sorted(self.committed.keys() | self.derived.keys()):
            committed, derived, both = self.committed[kind], self.derived[kind], self.both[kind]
            lines.append(
                f"{kind:<24}{committed:>11}{derived:>11}{both:>9}"
                f"{committed - both:>16}{derived - both:>14}"
            )
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        kinds = sorted(self.committed.keys() | self.derived.keys())
        return {
            "agrees": self.agrees,
            "entries": self.entries,
            "signatures": self.signatures,
            "root": self.root,
            "undecided": self.undecided,
            "kinds": {
                kind: {
                    "committed": self.committed[kind],
                    "derived": self.derived[kind],
                    "both": self.both[kind],
                    "only_committed": self.committed[kind] - self.both[kind],
                    "only_derived": self.derived[kind] - self.both[kind],
                }
                for kind in kinds
            },
            "differences": self.differences,
            "faults": self.faults,
        }


class Judge:
    """Judges entries in the order of the log."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.world = World()
        self.report = Report()
        self._leaves: list[bytes] = []
        self._last_time = 0
        # Key id -> (index, message, signature): verified key by key at the end.
        self._signed: dict[bytes, list[tuple[int, bytes, bytes]]] = defaultdict(list)
        self.log_key = ""

    def take(self, index: int, raw: bytes) -> None:
        """Judges one entry."""
        report = self.report
        if index != report.entries:
            raise wire.Invalid(f"entry {index} stands where entry {report.entries} should")
        report.entries += 1
        self._leaves.append(wire.leaf_hash(raw))
        entry = wire.entry_pb.Entry.FromString(raw)
        record = wire.record_pb.Record.FromString(entry.envelope.payload)
        registry = self.world.registry
        registry.introduce(record, registry.party_of(record.key_id))
        said = read_statement(index, entry, registry)
        self._check_form(said, entry)
        if not said.subjects:
            self._check_authority(said)
            registry.govern(record)
        if said.kind == "genesis":
            self.log_key = record.genesis.log_key
        ruling = judge(self.world, said)
        beside = self._compare(said, entry.verdict, ruling)
        joined = [n for n in range(len(said.subjects)) if n not in beside]
        self._check_chain(said, joined)
        # The difference is on record; to go on from the log's own decision keeps it from
        # spreading to every later record of the unit.
        try:
            advance(self.world, said, joined)
        except (AssertionError, KeyError) as error:
            self._fault(index, f"what the log joined can't be applied: {error!r}")

    def finish(self, checkpoint: bytes | None) -> Report:
        """Verifies the signatures, and the root against the checkpoint."""
        report = self.report
        for key_id, signed in self._signed.items():
            key = self.world.registry.keys.get(key_id)
            for index, message, signature in signed:
                report.signatures += 1
                if key is None:
                    self._fault(index, f"signed by the unknown key {key_id.hex()}")
                elif not wire.signature_ok(key.public_key, message, signature):
                    self._fault(index, f"the signature by key {key_id.hex()} does not hold")
        root = wire.merkle_root(self._leaves)
        report.root = root.hex()
        if checkpoint is not None:
            self._check_root(checkpoint, root)
        return report

    def _check_root(self, note: bytes, root: bytes) -> None:
        try:
            key = wire.VerifierKey.parse(self.log_key)
            checkpoint = wire.open_checkpoint(note, key, self.origin)
        except wire.Invalid as error:
            self.report.faults.append(f"checkpoint: {error}")
            return
        if checkpoint.size != self.report.entries:
            self.report.faults.append(
                f"checkpoint: of {checkpoint.size} entries, {self.report.entries} were read"
            )
        elif checkpoint.root != root:
            self.report.faults.append(
                f"checkpoint: root {checkpoint.root.hex()}, the entries give {root.hex()}"
            )

    def _fault(self, index: int, text: str) -> None:
        self.report.faults.append(f"entry {index}: {text}")

    def _check_form(self, said: Statement, entry: Any) -> None:
        """Format, origin, key and time of an entry; its signatures are put by for later."""
        index, record, envelope = said.index, said.record, entry.envelope
        if entry.format != 1 or record.format != 1:
            self._fault(index, "unknown format")
        if record.origin != self.origin:
            self._fault(index, f"a record for {record.origin!r}")
        if entry.time_ms < self._last_time:
            self._fault(index, "its time is before that of the entry before")
        self._last_time = max(self._last_time, entry.time_ms)
        self._put_by(index, envelope, record)
        if said.kind == "report_equivocation":
            for inner in reported(said):
                self._put_by(index, inner, wire.record_pb.Record.FromString(inner.payload))
        if said.kind == "return" and said.body.consent:
            self._check_consent(said)
        if said.kind in ("add_key", "rotate_key", "delegate"):
            statement = wire.possession_statement(self.origin, said.party or "")
            message = wire.pae(wire.POSSESSION_TYPE, statement)
            key_id = wire.key_id(said.body.key.public_key, said.body.key.suite)
            self._signed[key_id].append((index, message, said.body.possession))

    def _put_by(self, index: int, envelope: Any, record: Any) -> None:
        if envelope.key_id != record.key_id:
            self._fault(index, "the envelope and the record name different keys")
        key = self.world.registry.keys.get(record.key_id)
        if key is None:
            self._fault(index, f"key {record.key_id.hex()} was not registered before")
        elif key.suite != record.suite:
            self._fault(index, "the key was registered with another suite")
        message = wire.pae(wire.RECORD_TYPE, envelope.payload)
        self._signed[record.key_id].append((index, message, envelope.signature))

    def _check_consent(self, said: Statement) -> None:
        """A buyer's consent is for this taker and these units, signed by the units' buyer key."""
        consent = wire.record_pb.ReturnConsent.FromString(said.body.consent)
        message = wire.pae(wire.RETURN_CONSENT_TYPE, said.body.consent)
        if consent.origin != self.origin or consent.to != said.party:
            self._fault(said.index, "the buyer's consent is for somebody else")
        units = {ref.id for ref in consent.units}
        buyers = set()
        for name in said.subjects:
            unit = self.world.units.get(name)
            if name not in units:
                self._fault(said.index, f"the buyer's consent leaves out {name}")
            if unit is not None and unit.outermost.buyer:
                buyers.add(unit.outermost.buyer)
        for buyer in buyers:
            self._signed[buyer].append((said.index, message, said.body.consent_signature))

    def _check_authority(self, said: Statement) -> None:
        if said.kind in REGULATORS_ONLY and REGULATOR not in said.roles:
            self._fault(said.index, f"{said.kind} by {said.party}, who is no regulator")
        if said.index == 0 and said.kind != "genesis":
            self._fault(0, "the first entry is not the genesis")

    def _check_chain(self, said: Statement, joined: list[int]) -> None:
        """What joins a chain names its head, and those of all containers around."""
        named = {ref.id: ref.prev for ref in said.record.containers}
        own = {ref.id: ref.prev for ref in said.record.units}
        if said.container:
            own[said.container] = said.body.container.prev
        for number in joined:
            name = said.subjects[number]
            unit = self.world.units.get(name)
            if said.creates(number):
                if own.get(name, b""):
                    self._fault(said.index, f"the new unit {name} names a prev")
                continue
            if unit is None:
                continue
            if own.get(name) != unit.head:
                self._fault(said.index, f"the prev of {name} is not the head of its chain")
            for outer in unit.around():
                if named.get(outer.id, own.get(outer.id)) != outer.head:
                    self._fault(said.index, f"{name} is in {outer.id}, whose head is not named")

    def _compare(self, said: Statement, verdict: Any, ruling: Ruling) -> set[int]:
        """Compares an entry's verdict with the judge's; returns the subjects beside the chain."""
        committed: set[tuple[str, int]] = set()
        for finding in verdict.findings:
            kind = FINDING_KINDS.Name(finding.kind)
            committed |= {(kind, number) for number in wire.expand(finding.subjects)}
        beside = set(wire.expand(verdict.beside))
        committed |= {(BESIDE, number) for number in beside}
        derived = ruling.findings | {(BESIDE, number) for number in ruling.beside}
        self.report.undecided += len(ruling.undecided)
        derived |= ruling.undecided & committed
        report = self.report
        report.committed.update(kind for kind, _ in committed)
        report.derived.update(kind for kind, _ in derived)
        report.both.update(kind for kind, _ in committed & derived)
        for kind, number in sorted(committed ^ derived):
            report.differences.append(
                {
                    "index": said.index,
                    "record": said.kind,
                    "unit": self._subject(said, number),
                    "kind": kind,
                    "only": "committed" if (kind, number) in committed else "derived",
                }
            )
        return beside

    def _subject(self, said: Statement, number: int) -> str:
        subjects = said.subjects
        if said.kind == "report_equivocation":
            first = wire.record_pb.Record.FromString(reported(said)[0].payload)
            subjects = tuple(ref.id for ref in first.units)
        return subjects[number] if number < len(subjects) else f"subject {number}"


# -------------------------------------------------------------------------------------------------
# Command line
# -------------------------------------------------------------------------------------------------


def judge_entries(
    entries: Iterable[tuple[int, bytes]], origin: str, checkpoint: bytes | None
) -> Report:
    """Judges entries from the first on."""
    court = Judge(origin)
    for index, raw in entries:
        court.take(index, raw)
    return court.finish(checkpoint)


def judge_server(target: str, origin: str, seed_file: Path) -> Report:
    """Judges a running ledger up to its newest checkpoint."""
    signer = wire.Signer(origin, bytes.fromhex(seed_file.read_text().strip()))
    with grpc.insecure_channel(target) as channel:
        log = wire.log_grpc.LogServiceStub(channel)
        note = log.GetCheckpoint(wire.log_pb.GetCheckpointRequest()).checkpoint
        size = int(note.split(b"\n")[1])
        return judge_entries(entries_of_server(channel, signer, size), origin, note)


def arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--target", help="HOST:PORT of the ledger")
    parser.add_argument("--origin", required=True, help="origin of the ledger")
    parser.add_argument("--regulator-seed-file", type=Path, help="64 hex digits")
    parser.add_argument("--from-file", type=Path, help="entries as JSON lines, instead of a server")
    parser.add_argument("--checkpoint", type=Path, help="signed checkpoint to go with --from-file")
    parser.add_argument("--out", type=Path, help="write the report as JSON")
    parser.add_argument("--show", type=int, default=20, help="differences to print (default 20)")
    args = parser.parse_args()
    if args.from_file is None and (args.target is None or args.regulator_seed_file is None):
        parser.error("give --from-file, or --target and --regulator-seed-file")
    return args


def main() -> int:
    """Runs the judge."""
    args = arguments()
    try:
        if args.from_file is not None:
            note = args.checkpoint.read_bytes() if args.checkpoint else None
            report = judge_entries(entries_of_file(args.from_file), args.origin, note)
        else:
            report = judge_server(args.target, args.origin, args.regulator_seed_file)
    except grpc.RpcError as error:
        print(f"judge: {wire.failure_of(error)}", file=sys.stderr)
        return 2
    except (OSError, ValueError, KeyError, wire.Invalid, wire.DecodeError) as error:
        print(f"judge: {error}", file=sys.stderr)
        return 2
    if args.out is not None:
        args.out.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    print(report.table())
    print(f"{report.entries} entries, {report.signatures} signatures, root {report.root}")
    for difference in report.differences[: args.show]:
        print(
            "difference: entry {index}, {record}, {unit}: {kind} only {only}".format(**difference)
        )
    for fault in report.faults[: args.show]:
        print(f"fault: {fault}")
    hidden = max(0, len(report.differences) - args.show) + max(0, len(report.faults) - args.show)
    if hidden:
        print(f"and {hidden} more")
    print("the judge agrees" if report.agrees else "the judge does NOT agree")
    return 0 if report.agrees else 1


if __name__ == "__main__":
    sys.exit(main())
