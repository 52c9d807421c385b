"""What a foreign program needs to talk to the ledger and to check what it says.

The gRPC modules are generated from `proto/` when this file is imported, so they can never be
older than the definition. Everything else is written from the public specifications: DSSE v1,
RFC 9162, C2SP signed-note and tlog-checkpoint, PASETO v4.
"""

from __future__ import annotations

import atexit
import base64
import binascii
import hashlib
import importlib
import json
import secrets
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any, Iterable, Sequence

import grpc
import grpc_tools
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from google.protobuf.message import DecodeError as DecodeError
from grpc_tools import protoc

RECORD_TYPE = "application/vnd.custody.record.v1+protobuf"
POSSESSION_TYPE = "application/vnd.custody.key-possession.v1"
RETURN_CONSENT_TYPE = "application/vnd.custody.return-consent.v1+protobuf"
SUITE_ED25519 = 1

# The standard error model of gRPC (google/rpc/status.proto, error_details.proto), as far as the
# ledger uses it.
_RPC_PROTO = """
syntax = "proto3";
package google.rpc;
import "google/protobuf/any.proto";
message Status { int32 code = 1; string message = 2; repeated google.protobuf.Any details = 3; }
message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
message BadRequest {
  message FieldViolation { string field = 1; string description = 2; }
  repeated FieldViolation field_violations = 1;
}
"""


# -------------------------------------------------------------------------------------------------
# Generated modules
# -------------------------------------------------------------------------------------------------


def generate(proto_root: Path) -> Path:
    """Generates the Python modules of all `*.proto` below `proto_root` into a temporary folder
    that is removed at exit, and returns the folder."""
    out = Path(tempfile.mkdtemp(prefix="custody-proto-"))
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    (out / "rpc_error.proto").write_text(_RPC_PROTO)
    files = sorted(str(p.relative_to(proto_root)) for p in proto_root.rglob("*.proto"))
    if not files:
        raise FileNotFoundError(f"no .proto files below {proto_root}")
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    code = protoc.main(
        ["protoc", f"-I{proto_root}", f"-I{out}", f"-I{well_known}"]
        + [f"--python_out={out}", f"--grpc_python_out={out}"]
        + files
        + ["rpc_error.proto"]
    )
    if code != 0:
        raise RuntimeError(f"protoc ended with {code}")
    return out


sys.path.insert(0, str(generate(Path(__file__).resolve().parents[2] / "proto")))


def _module(name: str) -> Any:
    """A generated module; its members are made at run time, so it is typed `Any`."""
    module: ModuleType = importlib.import_module(name)
    return module


common_pb = _module("custody.v1.common_pb2")
record_pb = _module("custody.v1.record_pb2")
entry_pb = _module("custody.v1.entry_pb2")
ledger_pb = _module("custody.v1.ledger_pb2")
log_pb = _module("custody.v1.log_pb2")
provenance_pb = _module("custody.v1.provenance_pb2")
registry_pb = _module("custody.v1.registry_pb2")
ledger_grpc = _module("custody.v1.ledger_pb2_grpc")
log_grpc = _module("custody.v1.log_pb2_grpc")
provenance_grpc = _module("custody.v1.provenance_pb2_grpc")
registry_grpc = _module("custody.v1.registry_pb2_grpc")
rpc_error_pb = _module("rpc_error_pb2")


# -------------------------------------------------------------------------------------------------
# DSSE, keys, records
# -------------------------------------------------------------------------------------------------


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding of DSSE v1: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(public_key: bytes, suite: int = SUITE_ED25519) -> bytes:
    """The ledger's name of a public key."""
    return hashlib.sha256(bytes([suite]) + public_key).digest()[:16]


def record_id(payload: bytes) -> bytes:
    """SHA-256 of the bytes that were signed."""
    return hashlib.sha256(pae(RECORD_TYPE, payload)).digest()


def signature_ok(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature holds."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class Signer:
    """An Ed25519 key that signs records for one ledger."""

    def __init__(self, origin: str, seed: bytes | None = None) -> None:
        self.origin = origin
        self._private = Ed25519PrivateKey.from_private_bytes(seed or secrets.token_bytes(32))
        self.public_key = self._private.public_key().public_bytes_raw()
        self.key_id = key_id(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """The raw signature over `message`."""
        return self._private.sign(message)

    def public_key_message(self) -> Any:
        """This key as a `PublicKey`, as registrations carry it."""
        return record_pb.PublicKey(suite=SUITE_ED25519, public_key=self.public_key)

    def record(self, time_ms: int, **fields: Any) -> Any:
        """A `Record` by this key; `fields` are the rest, one of them the body."""
        return record_pb.Record(
            format=1,
            origin=self.origin,
            suite=SUITE_ED25519,
            key_id=self.key_id,
            nonce=secrets.token_bytes(16),
            claimed_time_ms=time_ms,
            **fields,
        )

    def seal(self, record: Any) -> Any:
        """The signed `Envelope` of a `Record`."""
        payload = record.SerializeToString()
        signature = self.sign(pae(RECORD_TYPE, payload))
        return entry_pb.Envelope(payload=payload, key_id=self.key_id, signature=signature)

    def possession(self, party: str) -> bytes:
        """Proof that this key agrees to belong to `party`."""
        return self.sign(pae(POSSESSION_TYPE, possession_statement(self.origin, party)))


def possession_statement(origin: str, party: str) -> bytes:
    """What a new key signs to show that its owner has it."""
    return origin.encode() + b"\x00" + party.encode()


def keys_introduced(record: Any) -> list[tuple[int, bytes]]:
    """(suite, public key) of every key that a record makes known to the ledger."""
    body = record.WhichOneof("body")
    if body == "genesis":
        found = list(record.genesis.regulator_keys)
    elif body in ("register_party", "add_key", "rotate_key", "delegate"):
        found = [getattr(record, body).key]
    elif body == "handover" and record.handover.HasField("buyer"):
        found = [record.handover.buyer]
    else:
        found = []
    return [(key.suite, key.public_key) for key in found]


def gs1_check_digit(digits: str) -> str:
    """Check digit of a GTIN, GLN or SSCC (GS1 General Specifications, section 7.9)."""
    weighted = sum(int(d) * (3 if i % 2 == 0 else 1) for i, d in enumerate(reversed(digits)))
    return str(-weighted % 10)


# -------------------------------------------------------------------------------------------------
# Merkle tree (RFC 9162, section 2.1)
# -------------------------------------------------------------------------------------------------


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of a leaf's input."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def merkle_root(leaf_hashes: Iterable[bytes]) -> bytes:
    """Root over leaf hashes, in one pass with a stack of complete subtrees."""
    stack: list[tuple[int, bytes]] = []
    for current in leaf_hashes:
        height = 0
        while stack and stack[-1][0] == height:
            current = node_hash(stack.pop()[1], current)
            height += 1
        stack.append((height, current))
    if not stack:
        return hashlib.sha256(b"").digest()
    root = stack.pop()[1]
    while stack:
        root = node_hash(stack.pop()[1], root)
    return root


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> bool:
    """RFC 9162, section 2.1.3.2; `leaf` is the leaf's hash."""
    if not 0 <= index < size or any(len(h) != 32 for h in (leaf, root, *proof)):
        return False
    node, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and result == root


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> bool:
    """RFC 9162, section 2.1.4.2. Nothing can be proven from an empty tree."""
    if not 0 < first <= second or any(len(h) != 32 for h in proof):
        return False
    if first == second:
        return not proof and first_root == second_root
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    if not path:
        return False
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


# -------------------------------------------------------------------------------------------------
# Checkpoints (C2SP signed-note, tlog-checkpoint)
# -------------------------------------------------------------------------------------------------


class Invalid(Exception):
    """Something that was to be verified does not hold."""


@dataclass(frozen=True)
class VerifierKey:
    """A parsed `vkey`: name, key hash and Ed25519 public key."""

    name: str
    key_hash: bytes
    public_key: bytes

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Parses `name+hash+base64(type || key)` and checks the hash."""
        try:
            name, hex_hash, encoded = text.strip().split("+", 2)
            key_hash, material = bytes.fromhex(hex_hash), base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error) as error:
            raise Invalid(f"not a verifier key: {text!r}: {error}") from error
        if len(material) != 33 or material[0] != 1:
            raise Invalid(f"verifier key {name}: not an Ed25519 key")
        if hashlib.sha256(name.encode() + b"\n" + material).digest()[:4] != key_hash:
            raise Invalid(f"verifier key {name}: the hash does not fit the key")
        return cls(name, key_hash, material[1:])


@dataclass(frozen=True)
class Checkpoint:
    """What a verified checkpoint says."""

    origin: str
    size: int
    root: bytes


def open_checkpoint(note: bytes, key: VerifierKey, origin: str) -> Checkpoint:
    """Verifies a signed checkpoint with the log's key and reads it."""
    try:
        text, _, signatures = note.decode("utf-8").rpartition("\n\n")
        lines = text.split("\n")
        size, root = int(lines[1]), base64.b64decode(lines[2], validate=True)
    except (UnicodeDecodeError, IndexError, ValueError, binascii.Error) as error:
        raise Invalid(f"not a checkpoint: {error}") from error
    if lines[0] != origin:
        raise Invalid(f"checkpoint of {lines[0]!r}, not of {origin!r}")
    if lines[1] != str(size) or size < 0 or len(root) != 32:
        raise Invalid("checkpoint with a malformed size or root")
    body = (text + "\n").encode()
    for line in signatures.splitlines():
        if not line.startswith(f"\u2014 {key.name} "):
            continue
        try:
            blob = base64.b64decode(line.rsplit(" ", 1)[1], validate=True)
        except binascii.Error as error:
            raise Invalid("checkpoint with a malformed signature line") from error
        if blob[:4] == key.key_hash and signature_ok(key.public_key, body, blob[4:]):
            return Checkpoint(lines[0], size, root)
    raise Invalid(f"no valid signature by {key.name} on the checkpoint")


# -------------------------------------------------------------------------------------------------
# Tokens (PASETO v4.public)
# -------------------------------------------------------------------------------------------------


def paseto_pae(pieces: Sequence[bytes]) -> bytes:
    """Pre-authentication encoding of PASETO (not the one of DSSE)."""
    parts = [len(pieces).to_bytes(8, "little")]
    for piece in pieces:
        parts += [len(piece).to_bytes(8, "little"), piece]
    return b"".join(parts)


def paseto_sign(signer: Signer, message: bytes) -> str:
    """A `v4.public` token with an empty footer and no implicit assertion."""
    header = b"v4.public."
    signature = signer.sign(paseto_pae([header, message, b"", b""]))
    return header.decode() + base64.urlsafe_b64encode(message + signature).decode().rstrip("=")


def bearer(signer: Signer, party: str, now: datetime | None = None) -> list[tuple[str, str]]:
    """Call metadata with a token of `party`, signed by its key, good for 5 minutes."""
    issued = (now or datetime.now(timezone.utc)).replace(microsecond=0)
    claims = {
        "iss": party,
        "sub": signer.key_id.hex(),
        "aud": signer.origin,
        "iat": issued.isoformat(),
        "nbf": issued.isoformat(),
        "exp": (issued + timedelta(minutes=5)).isoformat(),
    }
    token = paseto_sign(signer, json.dumps(claims, separators=(",", ":")).encode())
    return [("authorization", f"Bearer {token}")]


# -------------------------------------------------------------------------------------------------
# Errors
# -------------------------------------------------------------------------------------------------


@dataclass
class Failure:
    """A failed call: its code, and what `grpc-status-details-bin` says."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    domain: str = ""
    fields: list[str] = field(default_factory=list)
    refusal: Any = None


def failure_of(error: grpc.RpcError) -> Failure:
    """Reads the details of a failed call."""
    failure = Failure(error.code(), error.details() or "")
    for name, value in error.trailing_metadata() or ():
        if name != "grpc-status-details-bin":
            continue
        status = rpc_error_pb.Status.FromString(value)
        for detail in status.details:
            kind = detail.type_url.rsplit("/", 1)[-1]
            if kind == "google.rpc.ErrorInfo":
                info = rpc_error_pb.ErrorInfo.FromString(detail.value)
                failure.reason, failure.domain = info.reason, info.domain
            elif kind == "google.rpc.BadRequest":
                bad = rpc_error_pb.BadRequest.FromString(detail.value)
                failure.fields = [violation.field for violation in bad.field_violations]
            elif kind == "custody.v1.Refusal":
                failure.refusal = ledger_pb.Refusal.FromString(detail.value)
    return failure


def expand(pairs: Sequence[int]) -> list[int]:
    """The numbers that (first, count) pairs stand for."""
    if len(pairs) % 2:
        raise Invalid("an odd number of values in (first, count) pairs")
    return [n for first, count in zip(pairs[::2], pairs[1::2]) for n in range(first, first + count)]
