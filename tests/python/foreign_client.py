"""A foreign client: trades on a running ledger, knowing nothing but `proto/`.

Registers a maker, a courier and a stranger, takes three units from commissioning to the buyer,
provokes the refusals that a client has to handle, and verifies a unit's history by itself. Each
check prints a line `ok: ...`; the first that fails ends the program with exit code 1.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import grpc

import wire
from wire import Failure, Signer, VerifierKey, common_pb, record_pb

# Fuzhou.
PLACE = {
    "position": {"latitude_e7": 260_745_000, "longitude_e7": 1_192_965_000},
    "region": "CN-FJ",
    "city": "Fuzhou",
}


class Failed(Exception):
    """A check that did not hold."""


def ensure(held: bool, what: str, seen: Any = None) -> None:
    """Prints a check that holds, or fails."""
    if not held:
        raise Failed(what if seen is None else f"{what}; seen: {seen}")
    print(f"ok: {what}", flush=True)


def now_ms() -> int:
    """The time of this device."""
    return time.time_ns() // 1_000_000


def random_digits(count: int) -> str:
    """Decimal digits that begin with a prefix of GS1 China, 690 to 695."""
    rest = "".join(str(secrets.randbelow(10)) for _ in range(count - 3))
    return f"69{secrets.randbelow(6)}{rest}"


def random_gln() -> str:
    """A party id that was hardly used before."""
    digits = random_digits(12)
    return f"gln:{digits}{wire.gs1_check_digit(digits)}"


def random_gtin() -> str:
    """A GTIN of 14 digits that was hardly claimed before."""
    digits = "0" + random_digits(12)
    return digits + wire.gs1_check_digit(digits)


class Client:
    """Calls to the ledger, with its answers checked for form."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.ledger = wire.ledger_grpc.LedgerServiceStub(channel)
        self.log = wire.log_grpc.LogServiceStub(channel)
        self.provenance = wire.provenance_grpc.ProvenanceServiceStub(channel)
        self.registry = wire.registry_grpc.RegistryServiceStub(channel)

    def submit(self, envelope: Any) -> Any:
        """Submits one record; gives its receipt."""
        request = wire.ledger_pb.SubmitRequest(envelope=envelope)
        receipt = self.ledger.Submit(request, timeout=30).receipt
        if receipt.record_id != wire.record_id(envelope.payload):
            raise Failed("the receipt names another record id")
        return receipt

    def submit_stream(self, envelopes: Sequence[Any]) -> list[Any]:
        """Submits many over one stream; gives the results in order."""

        def requests() -> Iterator[Any]:
            for envelope in envelopes:
                yield wire.ledger_pb.SubmitStreamRequest(envelope=envelope)

        results = list(self.ledger.SubmitStream(requests(), timeout=60))
        if [r.sequence for r in results] != list(range(len(envelopes))):
            raise Failed("the stream's results are not one for each record, in order")
        return results

    def heads(self, units: Sequence[str]) -> list[Any]:
        """Units with their heads, as the next record names them."""
        request = wire.ledger_pb.GetHeadsRequest(units=units)
        answer = self.ledger.GetHeads(request, timeout=30)
        return [record_pb.UnitRef(id=head.unit, prev=head.head) for head in answer.heads]

    def refused(self, envelope: Any) -> Failure:
        """Submits a record that must be refused; says how it was."""
        try:
            receipt = self.submit(envelope)
        except grpc.RpcError as error:
            return wire.failure_of(error)
        raise Failed(f"a record that must be refused was appended as entry {receipt.log_index}")

    def checkpoint(self, key: VerifierKey, origin: str, at_least: int) -> wire.Checkpoint:
        """The newest checkpoint, once it covers so many entries."""
        deadline = time.monotonic() + 15
        while True:
            request = wire.log_pb.GetCheckpointRequest()
            note = self.log.GetCheckpoint(request, timeout=30).checkpoint
            checkpoint = wire.open_checkpoint(note, key, origin)
            if checkpoint.size >= at_least:
                return checkpoint
            if time.monotonic() > deadline:
                raise Failed(f"no checkpoint of {at_least} entries, only of {checkpoint.size}")
            time.sleep(0.2)


# -------------------------------------------------------------------------------------------------
# Verifying a unit by oneself
# -------------------------------------------------------------------------------------------------


def verify_bundle(bundle: Any, key: VerifierKey, origin: str, unit: str) -> bytes:
    """Verifies everything that a bundle claims, trusting only the log's key. Gives the unit's
    head. Raises `wire.Invalid`."""
    if bundle.format != 1 or bundle.origin != origin or bundle.unit != unit:
        raise wire.Invalid("a bundle of another format, ledger or unit")
    checkpoint = wire.open_checkpoint(bundle.checkpoint, key, origin)
    keys: dict[bytes, bytes] = {}
    head, last_index, last_time = b"", -1, 0
    for proven in bundle.entries:
        index = proven.index
        leaf = wire.leaf_hash(proven.entry)
        if not wire.verify_inclusion(index, checkpoint.size, leaf, proven.proof, checkpoint.root):
            raise wire.Invalid(f"entry {index} is not in the log of the checkpoint")
        entry = wire.entry_pb.Entry.FromString(proven.entry)
        record = record_pb.Record.FromString(entry.envelope.payload)
        if index <= last_index or entry.time_ms < last_time:
            raise wire.Invalid(f"entry {index} is out of order")
        last_index, last_time = index, entry.time_ms
        if record.origin != origin:
            raise wire.Invalid(f"entry {index} was signed for another ledger")
        for suite, public_key in wire.keys_introduced(record):
            keys[wire.key_id(public_key, suite)] = public_key
        public_key = keys.get(record.key_id, b"")
        if not public_key:
            raise wire.Invalid(f"the bundle does not say where the key of entry {index} comes from")
        message = wire.pae(wire.RECORD_TYPE, entry.envelope.payload)
        if not wire.signature_ok(public_key, message, entry.envelope.signature):
            raise wire.Invalid(f"the signature of entry {index} does not hold")
        head = follow_chain(unit, index, entry, record, head)
    if not head:
        raise wire.Invalid(f"the bundle has no chain of {unit}")
    return head


def follow_chain(unit: str, index: int, entry: Any, record: Any, head: bytes) -> bytes:
    """The head of the unit's chain after an entry."""
    beside = wire.expand(entry.verdict.beside)
    for number, ref in enumerate(record.units):
        if ref.id == unit and number not in beside:
            if ref.prev != head:
                raise wire.Invalid(f"entry {index} does not continue the chain of {unit}")
            return wire.record_id(entry.envelope.payload)
    return head


# -------------------------------------------------------------------------------------------------
# The trade
# -------------------------------------------------------------------------------------------------


class Trade:
    """One run: the parties, their goods, and what the ledger answered."""

    def __init__(self, client: Client, origin: str, key: VerifierKey, regulator: Signer) -> None:
        self.client, self.origin, self.key, self.regulator = client, origin, key, regulator
        self.maker, self.courier, self.stranger = (Signer(origin) for _ in range(3))
        self.buyer = Signer(origin)
        self.maker_id, self.courier_id, self.stranger_id = (random_gln() for _ in range(3))
        self.gtin = random_gtin()
        self.units = [f"01/{self.gtin}/21/F{n}{secrets.token_hex(4)}" for n in range(1, 4)]

    def say(self, signer: Signer, **fields: Any) -> Any:
        """A signed record that happens now."""
        return signer.seal(signer.record(now_ms(), **fields))

    def refs(self, prev: bytes, units: Sequence[str] | None = None) -> list[Any]:
        """Units that all have the same head."""
        return [record_pb.UnitRef(id=unit, prev=prev) for unit in units or self.units]

    def clean(self, envelope: Any, what: str) -> Any:
        """Submits a record that must join without a finding."""
        receipt = self.client.submit(envelope)
        verdict = receipt.verdict
        ensure(not verdict.findings and not verdict.beside, what, verdict)
        return receipt

    def register(self) -> int:
        """Parties and product, each approved. Gives the log's size after it."""
        for name, signer, party, roles in (
            ("maker", self.maker, self.maker_id, [common_pb.ROLE_MAKER]),
            ("courier", self.courier, self.courier_id, [common_pb.ROLE_COURIER]),
            ("stranger", self.stranger, self.stranger_id, [common_pb.ROLE_COURIER]),
        ):
            registration: dict[str, Any] = {
                "party": party,
                "name": f"Foreign {name}",
                "roles": roles,
                "region": "CN-FJ",
                "city": "Fuzhou",
                "key": signer.public_key_message(),
            }
            self.clean(self.say(signer, register_party=registration), f"{name} registers")
            approval: dict[str, Any] = {"party": party, "roles": roles}
            self.clean(self.say(self.regulator, approve_party=approval), f"{name} is approved")
        scope = {"gtin": self.gtin}
        claim: dict[str, Any] = {"scope": scope, "name": "Foreign goods"}
        self.clean(self.say(self.maker, claim_product=claim), "maker claims a GTIN")
        award = {"scope": scope, "party": self.maker_id}
        receipt = self.clean(self.say(self.regulator, approve_product=award), "it is approved")
        found = self.client.registry.GetParty(wire.registry_pb.GetPartyRequest(id=self.maker_id))
        active = wire.registry_pb.PARTY_STATUS_ACTIVE
        ensure(found.party.status == active, "the registry shows the maker as active", found)
        return int(receipt.log_index) + 1

    def move(self) -> Any:
        """From commissioning to the courier's scan. Gives the scan's receipt."""
        commission = self.say(
            self.maker,
            place=PLACE,
            units=[record_pb.UnitRef(id=unit) for unit in self.units],
            commission={"attributes": {"lot": "L1", "markets": ["CN"], "lot_size": 3}},
        )
        begun = self.clean(commission, "maker commissions 3 units")
        again = self.client.submit(commission)
        ensure(again == begun, "a resubmission gets the same receipt", again)
        handover = {
            "to": self.courier_id,
            "buyer": {"suite": wire.SUITE_ED25519, "public_key": self.buyer.public_key},
            "weight_grams": 1_500,
            "means": record_pb.MEANS_ROAD,
            "destination": "CN-FJ",
        }
        refs = self.refs(begun.record_id)
        offered = self.say(self.maker, place=PLACE, units=refs, handover=handover)
        taken = self.say(
            self.courier,
            place=PLACE,
            units=self.refs(wire.record_id(offered.payload)),
            accept={"condition": record_pb.CONDITION_GOOD, "weight_grams": 1_500},
        )
        results = self.client.submit_stream([offered, taken])
        findings = [list(r.receipt.verdict.findings) for r in results]
        accepted = all(r.WhichOneof("result") == "receipt" for r in results)
        ensure(
            accepted and findings == [[], []],
            "handover and acceptance, chained offline, join over one stream",
            results,
        )
        heads = self.client.heads(self.units)
        ensure(
            heads == self.refs(wire.record_id(taken.payload)),
            "GetHeads names the acceptance as the head of each unit",
            heads,
        )
        scan = self.say(self.courier, place=PLACE, units=heads, scan={"weight_grams": 1_500})
        return self.clean(scan, "courier scans on the way")

    def deliver(self, scanned: Any) -> None:
        """The first two units to the buyer, who confirms."""
        goods = self.units[:2]
        delivered = self.clean(
            self.say(
                self.courier,
                place=PLACE,
                units=self.refs(scanned.record_id, goods),
                deliver={"buyer_key_id": self.buyer.key_id},
            ),
            "courier delivers to the buyer key that the maker named",
        )
        refs = self.refs(delivered.record_id, goods)
        self.clean(self.say(self.buyer, units=refs, confirm={}), "buyer confirms")

    def provoke(self, scanned: Any) -> None:
        """Refusals that a client has to handle."""
        unit = self.units[2:]
        good = self.say(self.courier, units=self.refs(scanned.record_id, unit), scan={})
        bad = wire.entry_pb.Envelope()
        bad.CopyFrom(good)
        bad.signature = good.signature[:-1] + bytes([good.signature[-1] ^ 1])
        failure = self.client.refused(bad)
        self.expect(failure, grpc.StatusCode.UNAUTHENTICATED, "BAD_SIGNATURE")
        old = self.client.provenance.GetProvenance(
            wire.provenance_pb.GetProvenanceRequest(unit=unit[0]), timeout=30
        )
        # The courier was entitled at its own acceptance, which is in the chain but not its head.
        former = old.steps[-2].record_id
        stale = self.say(self.courier, units=self.refs(former, unit), scan={})
        failure = self.client.refused(stale)
        self.expect(failure, grpc.StatusCode.ABORTED, "CONFLICT")
        current = self.client.heads(unit)
        if failure.refusal is not None:
            ensure(list(failure.refusal.heads) == current, "the conflict's details name the head")
        refusal = self.client.submit_stream([stale])[0].refusal
        ensure(
            refusal.code == grpc.StatusCode.ABORTED.value[0]
            and refusal.reason == "CONFLICT"
            and list(refusal.heads) == current,
            "over a stream a stale prev gets a CONFLICT with the current head",
            refusal,
        )
        nobody = Signer(self.origin)
        failure = self.client.refused(self.say(nobody, units=current, scan={}))
        # `proto/` names neither the code nor the reason of this refusal.
        refused = failure.code != grpc.StatusCode.INTERNAL and failure.domain == "custody"
        ensure(refused and "KEY" in failure.reason, "an unknown key is refused as such", failure)

    def expect(self, failure: Failure, code: grpc.StatusCode, reason: str) -> None:
        """Checks how a call failed."""
        ensure(
            failure.code == code and failure.reason == reason and failure.domain == "custody",
            f"{reason} is refused with {code.name} and its reason",
            failure,
        )

    def counterfeit(self) -> Any:
        """A stranger scans what it never held. Gives the receipt."""
        before = self.client.heads(self.units[2:])
        receipt = self.client.submit(self.say(self.stranger, place=PLACE, units=before, scan={}))
        kinds = [finding.kind for finding in receipt.verdict.findings]
        ensure(kinds == [record_pb.NOT_HOLDER], "a stranger's scan is NOT_HOLDER", receipt)
        ensure(wire.expand(receipt.verdict.beside) == [0], "it stands beside the chain", receipt)
        after = self.client.heads(self.units[2:])
        ensure(after == before, "and moves nothing", after)
        return receipt

    def look_up(self) -> None:
        """What a consumer sees."""
        words = wire.provenance_pb
        for unit, word in (
            (self.units[0], words.DELIVERED),
            (self.units[2], words.SUSPECT),
            (f"01/{self.gtin}/21/NEVER", words.UNKNOWN),
        ):
            request = words.GetProvenanceRequest(unit=unit)
            answer = self.client.provenance.GetProvenance(request, timeout=30)
            name = words.StandingWord.Name(word)
            ensure(answer.standing.word == word, f"standing {name}", answer.standing)
        answer = self.client.provenance.GetProvenance(
            words.GetProvenanceRequest(unit=self.units[0]), timeout=30
        )
        kinds = [step.kind for step in answer.steps]
        story = ["commission", "handover", "accept", "scan", "deliver", "confirm"]
        ensure(kinds == story, "the timeline tells the whole way", kinds)
        ensure(answer.maker == self.maker_id, "and names the maker", answer.maker)

    def verify(self, unit: str) -> None:
        """Verifies a unit's bundle, and that a changed one does not verify."""
        request = wire.provenance_pb.GetBundleRequest(unit=unit)
        bundle = self.client.provenance.GetBundle(request, timeout=30).bundle
        head = verify_bundle(bundle, self.key, self.origin, unit)
        count = len(bundle.entries)
        ensure(True, f"own verification of {unit}: note, {count} proofs, signatures, chain")
        (current,) = self.client.heads([unit])
        ensure(head == current.prev, "the bundle ends at the unit's head")
        for number in (0, count // 2, count - 1):
            changed = wire.entry_pb.UnitBundle()
            changed.CopyFrom(bundle)
            entry = bytearray(changed.entries[number].entry)
            entry[secrets.randbelow(len(entry))] ^= 1
            changed.entries[number].entry = bytes(entry)
            index = bundle.entries[number].index
            fails = rejects(lambda: verify_bundle(changed, self.key, self.origin, unit))
            ensure(fails, f"one changed byte in entry {index} is seen")

    def verify_growth(self, before: wire.Checkpoint, at_least: int) -> None:
        """The log only grew between two checkpoints."""
        after = self.client.checkpoint(self.key, self.origin, at_least)
        request = wire.log_pb.GetConsistencyProofRequest(
            first_size=before.size, second_size=after.size
        )
        proof = list(self.client.log.GetConsistencyProof(request, timeout=30).proof)
        sizes = (before.size, after.size)
        held = wire.verify_consistency(*sizes, before.root, after.root, proof)
        ensure(held, f"checkpoint of {after.size} entries continues that of {before.size}")
        bent = before.root[:-1] + bytes([before.root[-1] ^ 1])
        held = wire.verify_consistency(*sizes, bent, after.root, proof)
        ensure(not held, "and does not continue another one")


def rejects(verification: Callable[[], object]) -> bool:
    """Whether a verification fails."""
    try:
        verification()
    except (wire.Invalid, wire.DecodeError):
        return True
    return False


def run(target: str, origin: str, key: VerifierKey, seed: bytes) -> None:
    """The whole scenario."""
    with grpc.insecure_channel(target) as channel:
        client = Client(channel)
        trade = Trade(client, origin, key, Signer(origin, seed))
        before = client.checkpoint(key, origin, trade.register())
        ensure(True, f"the checkpoint of {before.size} entries is signed by the log's key")
        scanned = trade.move()
        trade.deliver(scanned)
        trade.provoke(scanned)
        last = trade.counterfeit()
        trade.look_up()
        size = int(last.log_index) + 1
        client.checkpoint(key, origin, size)
        for unit in (trade.units[0], trade.units[2]):
            trade.verify(unit)
        trade.verify_growth(before, size)


def main() -> int:
    """Parses the command line and runs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--target", required=True, help="HOST:PORT of the ledger")
    parser.add_argument("--origin", required=True, help="origin of the ledger")
    parser.add_argument("--log-key", required=True, help="verifier key of the log (C2SP vkey)")
    parser.add_argument("--regulator-seed-file", required=True, type=Path, help="64 hex digits")
    args = parser.parse_args()
    try:
        seed = bytes.fromhex(args.regulator_seed_file.read_text().strip())
        run(args.target, args.origin, VerifierKey.parse(args.log_key), seed)
    except grpc.RpcError as error:
        print(f"FAILED: an unexpected answer: {wire.failure_of(error)}", file=sys.stderr)
        return 1
    except (Failed, wire.Invalid, wire.DecodeError, OSError, ValueError) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    print("ok: all checks hold")
    return 0


if __name__ == "__main__":
    sys.exit(main())
