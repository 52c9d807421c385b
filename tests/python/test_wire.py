"""Tests of `wire`: official vectors where there are any. Run: python -m unittest"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import unittest
from pathlib import Path

import wire

# Folder with the RFC 6962 vectors of transparency-dev/merkle; the test that needs it is skipped
# where it is missing.
VECTORS = Path(os.environ.get("CUSTODY_MERKLE_VECTORS", ""))


class Merkle(unittest.TestCase):
    def test_own_proofs_hold_for_every_leaf_and_size(self) -> None:
        leaves = [wire.leaf_hash(bytes([n])) for n in range(20)]
        for size in range(1, 21):
            root = wire.merkle_root(leaves[:size])
            self.assertEqual(root, recursive_root(leaves[:size]))
            for index in range(size):
                proof = inclusion_path(index, leaves[:size])
                self.assertTrue(wire.verify_inclusion(index, size, leaves[index], proof, root))
                self.assertFalse(
                    wire.verify_inclusion(index, size, wire.leaf_hash(b"x"), proof, root)
                )

    @unittest.skipUnless(os.environ.get("CUSTODY_MERKLE_VECTORS"), "CUSTODY_MERKLE_VECTORS unset")
    def test_official_vectors(self) -> None:
        files = sorted(VECTORS.rglob("*.json"))
        self.assertTrue(files)
        for path in files:
            case = json.loads(path.read_text())
            proof = [base64.b64decode(p) for p in case["proof"] or []]
            if "leafIdx" in case:
                held = wire.verify_inclusion(
                    case["leafIdx"],
                    case["treeSize"],
                    base64.b64decode(case["leafHash"] or ""),
                    proof,
                    base64.b64decode(case["root"] or ""),
                )
            else:
                held = wire.verify_consistency(
                    case["size1"],
                    case["size2"],
                    base64.b64decode(case["root1"] or ""),
                    base64.b64decode(case["root2"] or ""),
                    proof,
                )
            with self.subTest(path=str(path)):
                self.assertEqual(held, not case["wantErr"])


def recursive_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 9162, section 2.1.1."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return wire.node_hash(recursive_root(leaves[:split]), recursive_root(leaves[split:]))


def inclusion_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """The definition of RFC 9162, section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return inclusion_path(index, leaves[:split]) + [recursive_root(leaves[split:])]
    return inclusion_path(index - split, leaves[split:]) + [recursive_root(leaves[:split])]


class Signatures(unittest.TestCase):
    def test_pae_of_the_dsse_specification(self) -> None:
        self.assertEqual(
            wire.pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world",
        )

    def test_paseto_vector_4_s_1(self) -> None:
        seed = bytes.fromhex("b4cbfb43df4ce210727d953e4a713307fa19bb7d9f85041438d9e11b942a3774")
        message = b'{"data":"this is a signed message","exp":"2022-01-01T00:00:00+00:00"}'
        self.assertEqual(
            wire.paseto_sign(wire.Signer("o", seed), message),
            "v4.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIiwiZXhwIjoiMjAyMi0wMS0wMVQwMDo"
            "wMDowMCswMDowMCJ9bg_XBBzds8lTZShVlwwKSgeKpLT3yukTw6JUz3W4h_ExsQV-P0V54zemZDcAxFaSeef1"
            "QlXEFtkqxT1ciiQEDA",
        )

    def test_sealed_record_verifies_and_names_itself(self) -> None:
        signer = wire.Signer("example.com/log")
        envelope = signer.seal(signer.record(1, scan=wire.record_pb.Scan()))
        message = wire.pae(wire.RECORD_TYPE, envelope.payload)
        self.assertTrue(wire.signature_ok(signer.public_key, message, envelope.signature))
        self.assertFalse(wire.signature_ok(signer.public_key, message + b"x", envelope.signature))
        self.assertEqual(wire.record_id(envelope.payload), hashlib.sha256(message).digest())

    def test_gs1_check_digit(self) -> None:
        self.assertEqual(wire.gs1_check_digit("690123456789"), "2")


class Checkpoints(unittest.TestCase):
    def setUp(self) -> None:
        self.signer = wire.Signer("example.com/log")
        material = b"\x01" + self.signer.public_key
        self.hash = hashlib.sha256(b"example.com/log\n" + material).digest()[:4]
        encoded = base64.b64encode(material).decode()
        self.vkey = f"example.com/log+{self.hash.hex()}+{encoded}"

    def note(self, text: str) -> bytes:
        blob = base64.b64encode(self.hash + self.signer.sign(text.encode())).decode()
        return f"{text}\n\u2014 example.com/log {blob}\n".encode()

    def test_opens_what_was_signed(self) -> None:
        root = base64.b64encode(bytes(32)).decode()
        note = self.note(f"example.com/log\n7\n{root}\n")
        key = wire.VerifierKey.parse(self.vkey)
        checkpoint = wire.open_checkpoint(note, key, "example.com/log")
        self.assertEqual((checkpoint.size, checkpoint.root), (7, bytes(32)))
        for changed in (note.replace(b"\n7\n", b"\n8\n"), note[:-9] + b"AAAAAAA=\n", b""):
            with self.assertRaises(wire.Invalid):
                wire.open_checkpoint(changed, key, "example.com/log")
        with self.assertRaises(wire.Invalid):
            wire.open_checkpoint(note, key, "example.com/other")

    def test_verifier_key_with_a_wrong_hash_is_refused(self) -> None:
        with self.assertRaises(wire.Invalid):
            wire.VerifierKey.parse(self.vkey.replace(self.hash.hex(), "00000000"))


class Ranges(unittest.TestCase):
    def test_pairs_expand(self) -> None:
        self.assertEqual(wire.expand([0, 2, 5, 1]), [0, 1, 5])
        with self.assertRaises(wire.Invalid):
            wire.expand([1])


if __name__ == "__main__":
    unittest.main()
