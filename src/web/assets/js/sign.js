// Makes records and signs them on this device; sends them, and says what became of each.

import { sha256 } from '../vendor/ed25519.js';
import { Code, ConnectError, createClient, createGrpcWebTransport } from '../vendor/connect.js';

const RECORD_TYPE = 'application/vnd.custody.record.v1+protobuf';
const SUITE = 1; // Ed25519 with SHA-256
const utf8 = (text) => new TextEncoder().encode(text);

function concat(...parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let end = 0;
  for (const part of parts) {
    all.set(part, end);
    end += part.length;
  }
  return all;
}

/** DSSE v1, "PAE": what is signed. */
export function pae(type, payload) {
  return concat(utf8(`DSSEv1 ${utf8(type).length} ${type} ${payload.length} `), payload);
}

/** The first 16 bytes of SHA-256(suite || public key). */
export function keyId(publicKey) {
  return sha256(concat([SUITE], publicKey)).subarray(0, 16);
}

/** The id of the record in an envelope. */
export function recordId(payload) {
  return sha256(pae(RECORD_TYPE, payload));
}

/**
 * Signs a record. `draft` says what happened (`units`, `place`, `body`); the rest is filled in.
 * `signer` is `{ publicKey, sign(bytes) }`; `offset` what to add to this clock for the ledger's time.
 */
export async function sign(wire, origin, signer, draft, { offset = 0, nonce } = {}) {
  const id = keyId(signer.publicKey);
  const payload = wire.encode('Record', {
    format: 1,
    origin,
    suite: SUITE,
    keyId: id,
    nonce: nonce ?? crypto.getRandomValues(new Uint8Array(16)),
    claimedTimeMs: BigInt(draft.time ?? Date.now()),
    clockOffsetMs: BigInt(offset),
    ...draft,
  });
  return { payload, keyId: id, signature: await signer.sign(pae(RECORD_TYPE, payload)) };
}

/** The services of the ledger over gRPC-Web. */
export function services(wire) {
  const transport = createGrpcWebTransport({ baseUrl: location.origin });
  const client = (name) => createClient(wire.service(name), transport);
  return { ledger: client('LedgerService'), personal: client('PrivateService') };
}

/** What the server refused, in its own words and with its own name for it. */
export function refusal(error) {
  const known = ConnectError.from(error);
  const info = known.details.find((detail) => detail.type === 'google.rpc.ErrorInfo');
  return {
    message: known.rawMessage,
    reason: info?.debug?.reason ?? Code[known.code],
  };
}

/** The heads that a record about a unit has to name now. */
export async function heads(ledger, unit) {
  const { heads: [head] } = await ledger.getHeads({ units: [unit] });
  return { units: [{ id: head.unit, prev: head.head }], containers: head.containers };
}
