"""Tests of the judge on small logs whose verdicts are stated by hand."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import wire
from fake_log import COURIER, GTIN, MAKER, MINUTE_MS, ORIGIN, START_MS, FakeLog
from judge import Report, judge_entries
from judge_rules import chord_m, expiry_limit_ms
from judge_state import Sighting

A, B = f"01/{GTIN}/21/A", f"01/{GTIN}/21/B"
CASE, PALLET = "00/369091234567890120", "00/369091234567890137"
FUZHOU, BEIJING = (26.07, 119.30), (39.90, 116.40)
LOT = {"attributes": {"lot": "L"}}


def judged(log: FakeLog) -> Report:
    """The judge's report on a log."""
    return judge_entries(enumerate(log.entries), ORIGIN, log.checkpoint())


class Judging(unittest.TestCase):
    def setUp(self) -> None:
        self.log = FakeLog()

    def assert_agrees(self) -> None:
        report = judged(self.log)
        self.assertEqual((report.differences, report.faults), ([], []))

    def commissioned(self, *units: str, **attributes: Any) -> FakeLog:
        self.log.add(self.log.maker, *units, commission={"attributes": attributes})
        return self.log

    def offer(self, unit: str, **more: Any) -> None:
        """The maker offers to the courier, naming the buyer."""
        buyer = {"suite": 1, "public_key": self.log.buyer.public_key}
        handover = {"to": COURIER, "buyer": buyer, "weight_grams": 9, "means": 1}
        self.log.add(self.log.maker, unit, handover=handover, **more)

    def test_a_clean_way_to_the_buyer(self) -> None:
        log = self.commissioned(A, B)
        self.offer(A)
        log.add(log.courier, A, accept={})
        log.add(log.courier, A, scan={})
        log.add(log.courier, A, deliver={"buyer_key_id": log.buyer.key_id})
        log.add(log.buyer, A, confirm={})
        self.assert_agrees()

    def test_strangers_stand_beside(self) -> None:
        log = self.commissioned(A)
        not_holder: dict[str, Any] = {"findings": [("NOT_HOLDER", [0])], "beside": [0]}
        log.add(log.stranger, A, scan={}, **not_holder)
        # Once a day is enough: the second is beside the chain without a finding.
        log.add(log.stranger, A, handover={"to": COURIER}, beside=[0])
        log.add(
            log.stranger, A, commission=LOT, findings=[("OUT_OF_ROLE", [0])], beside=[0]
        )
        log.add(
            log.courier, A, accept={}, findings=[("ACCEPT_WITHOUT_HANDOVER", [0])], beside=[0]
        )
        log.add(log.courier, B, scan={}, findings=[("NEVER_COMMISSIONED", [0])], beside=[0])
        log.heads.pop(A)
        log.add(
            log.maker, A, commission=LOT, findings=[("DUPLICATE_COMMISSION", [0])], beside=[0]
        )
        self.assert_agrees()

    def test_offers_end(self) -> None:
        log = self.commissioned(A)
        self.offer(A)
        log.add(log.stranger, A, accept={}, findings=[("WRONG_RECEIVER", [0])], beside=[0])
        log.add(log.maker, A, void={})
        log.add(log.courier, A, accept={}, findings=[("MOVED_AFTER_VOID", [0])], beside=[0])
        self.assert_agrees()

    def test_containers_carry_custody_sightings_and_scans(self) -> None:
        log = self.commissioned(A, B, CASE, PALLET)
        log.add(log.maker, A, B, pack=log.container(CASE), at=FUZHOU)
        log.add(log.maker, CASE, pack=log.container(PALLET))
        packed: dict[str, Any] = {"findings": [("MOVED_WHILE_PACKED", [0])], "beside": [0]}
        log.add(log.maker, A, handover={"to": COURIER}, containers=(CASE, PALLET), **packed)
        log.add(log.maker, PALLET, handover={"to": COURIER})
        log.add(log.courier, PALLET, accept={})
        log.add(log.courier, A, scan={}, containers=(CASE, PALLET))
        log.add(log.courier, PALLET, scan={}, at=FUZHOU)
        log.add(log.courier, CASE, unpack=log.container(PALLET))
        log.add(log.courier, A, unpack=log.container(CASE))
        log.add(
            log.courier,
            A,
            unpack=log.container(CASE),
            findings=[("CONTENT_MISMATCH", [0])],
            beside=[0, 1],
        )
        log.add(log.courier, A, scan={}, at=BEIJING, findings=[("IMPOSSIBLE_TRAVEL", [0])])
        # The maker scanned before the pallet left, and uploads late.
        log.add(log.maker, B, scan={}, beside=[0], time_ms=START_MS + 150 * MINUTE_MS)
        log.add(log.maker, B, scan={}, findings=[("NOT_HOLDER", [0])], beside=[0])
        self.assert_agrees()

    def test_plausibility(self) -> None:
        log = self.commissioned(A, B, lot="L", expiry=20251008, markets=["US"], lot_size=1)
        last = wire.entry_pb.Entry.FromString(log.entries.pop())
        last.verdict.findings.add(kind=wire.record_pb.QUANTITY_INFLATION, subjects=[1, 1])
        log.entries.append(last.SerializeToString())
        self.offer(A)
        log.add(log.maker, A, void={}, time_ms=log.now_ms - 40 * MINUTE_MS)
        last = wire.entry_pb.Entry.FromString(log.entries.pop())
        last.verdict.findings.add(kind=wire.record_pb.TIME_REVERSED, subjects=[0, 1])
        log.entries.append(last.SerializeToString())
        scope = {"scope": {"lot": {"product": GTIN, "lot": "L"}}}
        log.add(log.maker, recall=scope)
        late = expiry_limit_ms(20251008)
        findings = [(kind, [0]) for kind in ("DIVERTED_MARKET", "EXPIRED", "MOVED_UNDER_RECALL")]
        handover = {"to": COURIER, "destination": "CN-FJ"}
        findings.append(("TIME_IN_FUTURE", [0]))
        log.add(log.maker, B, handover=handover, findings=findings, time_ms=late)
        log.add(log.maker, release=scope)
        log.add(log.maker, A, handover={"to": MAKER})
        self.assert_agrees()

    def test_phantom_delivery(self) -> None:
        log = self.commissioned(A)
        self.offer(A)
        log.add(log.courier, A, accept={})
        phantom = [("PHANTOM_DELIVERY", [0])]
        log.add(
            log.courier,
            A,
            deliver={"buyer_key_id": log.buyer.key_id},
            time_ms=log.now_ms - 5 * MINUTE_MS,
            findings=phantom,
        )
        self.assert_agrees()

    def test_equivocation(self) -> None:
        log = self.commissioned(A)
        first = log.add(log.maker, A, handover={"to": COURIER})
        other = log.maker.record(
            log.now_ms,
            units=[wire.record_pb.UnitRef(id=A, prev=commission_of(log, first - 1))],
            destroy={},
        )
        report = {"first": log.records[first], "second": log.maker.seal(other).SerializeToString()}
        log.add(log.courier, report_equivocation=report, findings=[("EQUIVOCATION", [0])])
        self.assert_agrees()

    def test_repacking_is_all_or_nothing(self) -> None:
        log = self.commissioned(A, content={"milli": 100, "unit_of_measure": "C62"})
        more = {"milli": 101, "unit_of_measure": "C62"}
        transform = {"outputs": [B], "attributes": {"content": more}}
        mixed = f"01/{GTIN}/21/NONE"
        log.add(
            log.maker,
            A,
            mixed,
            transform=transform,
            findings=[("NEVER_COMMISSIONED", [1])],
            beside=[0, 1, 2],
        )
        log.add(log.maker, A, transform=transform, findings=[("QUANTITY_INFLATION", [1])])
        seen = [("SEEN_AFTER_DESTRUCTION", [0])]
        log.add(log.maker, A, scan={}, findings=seen, beside=[0])
        self.assert_agrees()

    def test_a_missing_and_an_invented_finding_are_told_apart(self) -> None:
        log = self.commissioned(A)
        log.add(log.stranger, A, scan={}, beside=[0])
        log.add(log.maker, A, scan={}, findings=[("EXPIRED", [0])])
        report = judged(log)
        self.assertEqual(
            [(d["kind"], d["only"]) for d in report.differences],
            [("NOT_HOLDER", "derived"), ("EXPIRED", "committed")],
        )
        self.assertEqual(report.faults, [])

    def test_a_changed_entry_breaks_signature_and_root(self) -> None:
        log = self.commissioned(A)
        note = log.checkpoint()
        entry = wire.entry_pb.Entry.FromString(log.entries[-1])
        entry.envelope.signature = bytes(64)
        entries = log.entries[:-1] + [entry.SerializeToString()]
        report = judge_entries(enumerate(entries), ORIGIN, note)
        self.assertEqual(len(report.faults), 2, report.faults)

    def test_command_line_reads_a_file(self) -> None:
        log = self.commissioned(A)
        with tempfile.TemporaryDirectory() as folder:
            path, note, out = (Path(folder) / name for name in ("e.jsonl", "note", "out.json"))
            rows = [
                {"index": n, "entry": base64.b64encode(e).decode()}
                for n, e in enumerate(log.entries)
            ]
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
            note.write_bytes(log.checkpoint())
            script = str(Path(__file__).with_name("judge.py"))
            command = [sys.executable, script, "--origin", ORIGIN, "--from-file", str(path)]
            command += ["--checkpoint", str(note), "--out", str(out)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertTrue(json.loads(out.read_text())["agrees"])
            path.write_text(json.dumps(rows[1]) + "\n")
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2, done.stdout + done.stderr)


def commission_of(log: FakeLog, index: int) -> bytes:
    """Record id of an entry."""
    envelope = wire.entry_pb.Envelope.FromString(log.records[index])
    return wire.record_id(envelope.payload)


class Measures(unittest.TestCase):
    def test_expiry_ends_at_noon_after_the_last_day(self) -> None:
        self.assertEqual(expiry_limit_ms(20251231), 1_767_268_800_000)
        self.assertEqual(expiry_limit_ms(20251200), expiry_limit_ms(20251231))

    def test_chord_through_the_globe(self) -> None:
        pole, equator = Sighting(0, 900_000_000, 0), Sighting(0, 0, 0)
        self.assertAlmostEqual(chord_m(pole, equator), 6_371_008 * 2**0.5, places=2)


if __name__ == "__main__":
    unittest.main()
