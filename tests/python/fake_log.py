"""A small log made in this process, with verdicts that the test states, to try the judge on."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Sequence

import wire
from wire import Signer, common_pb, record_pb

ORIGIN = "example.com/fake"
START_MS = 1_760_000_000_000
MINUTE_MS = 60_000
GTIN = "06901234567892"
REGULATOR, MAKER, COURIER, STRANGER = (f"gln:{n}" for n in range(4))
THRESHOLDS = {
    "future_tolerance_ms": 600_000,
    "reversal_tolerance_ms": 600_000,
    "max_speed_kmh": 1000,
    "min_travel_km": 20,
    "min_delivery_ms": 1_200_000,
}


class FakeLog:
    """Entries signed by a regulator, a maker, a courier, a stranger and a buyer; ten minutes
    pass from each to the next."""

    def __init__(self) -> None:
        self.regulator, self.maker, self.courier, self.stranger, self.buyer, self.log = (
            Signer(ORIGIN, bytes([n]) * 32) for n in range(1, 7)
        )
        self.entries: list[bytes] = []
        self.heads: dict[str, bytes] = {}
        self.records: list[bytes] = []
        material = b"\x01" + self.log.public_key
        self._note_hash = hashlib.sha256(ORIGIN.encode() + b"\n" + material).digest()[:4]
        vkey = f"{ORIGIN}+{self._note_hash.hex()}+{base64.b64encode(material).decode()}"
        genesis = {
            "regulator_keys": [self.regulator.public_key_message()],
            "regulator": REGULATOR,
            "thresholds": THRESHOLDS,
            "log_key": vkey,
        }
        self.add(self.regulator, genesis=genesis)
        for signer, party, roles in (
            (self.maker, MAKER, [common_pb.ROLE_MAKER, common_pb.ROLE_SELLER]),
            (self.courier, COURIER, [common_pb.ROLE_COURIER]),
            (self.stranger, STRANGER, [common_pb.ROLE_COURIER]),
        ):
            key = signer.public_key_message()
            self.add(signer, register_party={"party": party, "roles": roles, "key": key})
            self.add(self.regulator, approve_party={"party": party, "roles": roles})
        for scope in ({"gtin": GTIN}, {"company_prefix": "6909"}):
            self.add(self.maker, claim_product={"scope": scope})
            self.add(self.regulator, approve_product={"scope": scope, "party": MAKER})

    @property
    def now_ms(self) -> int:
        """Event and entry time of the next entry."""
        return START_MS + len(self.entries) * 10 * MINUTE_MS

    def refs(self, *units: str) -> list[Any]:
        """Units with the heads of their chains."""
        return [record_pb.UnitRef(id=unit, prev=self.heads.get(unit, b"")) for unit in units]

    def add(
        self,
        signer: Signer,
        *units: str,
        findings: Sequence[tuple[str, Sequence[int]]] = (),
        beside: Sequence[int] = (),
        at: tuple[float, float] | None = None,
        time_ms: int | None = None,
        **body: Any,
    ) -> int:
        """Appends a record with the stated verdict; gives its index. A `containers` among the
        keywords names units around, an `outputs` in a Transform joins with the inputs."""
        around = self.refs(*body.pop("containers", ()))
        fields: dict[str, Any] = {"units": self.refs(*units), "containers": around, **body}
        if at is not None:
            lat, lon = (round(degree * 1e7) for degree in at)
            fields["place"] = {"position": {"latitude_e7": lat, "longitude_e7": lon}}
        envelope = signer.seal(signer.record(time_ms or self.now_ms, **fields))
        verdict = wire.entry_pb.Verdict()
        for kind, numbers in findings:
            finding = verdict.findings.add(kind=record_pb.FindingKind.Value(kind))
            finding.subjects.extend(pair for number in numbers for pair in (number, 1))
        verdict.beside.extend(pair for number in beside for pair in (number, 1))
        entry = wire.entry_pb.Entry(
            format=1, envelope=envelope, time_ms=self.now_ms, verdict=verdict
        )
        subjects = list(units)
        (kind, content), *_ = body.items()
        if kind in ("pack", "unpack"):
            subjects.append(content["container"].id)
        subjects += content.get("outputs", []) if kind == "transform" else []
        for number, name in enumerate(subjects):
            if number not in beside:
                self.heads[name] = wire.record_id(envelope.payload)
        self.entries.append(entry.SerializeToString())
        self.records.append(envelope.SerializeToString())
        return len(self.entries) - 1

    def container(self, name: str) -> dict[str, Any]:
        """Content of a Pack or Unpack."""
        return {"container": self.refs(name)[0]}

    def checkpoint(self) -> bytes:
        """The signed checkpoint of all entries."""
        root = wire.merkle_root(wire.leaf_hash(entry) for entry in self.entries)
        text = f"{ORIGIN}\n{len(self.entries)}\n{base64.b64encode(root).decode()}\n"
        blob = base64.b64encode(self._note_hash + self.log.sign(text.encode())).decode()
        return f"{text}\n\u2014 {ORIGIN} {blob}\n".encode()
