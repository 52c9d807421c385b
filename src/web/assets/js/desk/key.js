// The key by which this browser signs for an agency, and the tokens that it makes.

import { forget, recall } from '../scan/store.js';
import { offset } from '../scan/clock.js';
import { deviceKey } from '../scan/keys.js';
import { enrolment } from '../scan/enrol.js';
import { hex } from '../scan/lang.js';

/** Under which names it is kept: the same browser may be a scanner as well. */
export const PREFIX = 'desk-';
export const KEY = `${PREFIX}key`;

/** The key, once an administrator has enrolled it; else nothing. */
export async function deskKey() {
  const enrolled = await enrolment(PREFIX);
  if (!enrolled || !(await recall(KEY))) return null;
  return { ...(await deviceKey(KEY)), party: enrolled.party, partyName: enrolled.partyName };
}

/** As people compare it. */
export const keyNumber = ({ keyId }) => hex(keyId).slice(0, 8);

/** It is gone for good: nobody has a copy. */
export async function forgetKey() {
  await Promise.all(['key', 'enrolled', 'pending'].map((name) => forget(PREFIX + name)));
}

const HEADER = 'v4.public.';
const utf8 = (text) => new TextEncoder().encode(text);

function count(number) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(number), true);
  return bytes;
}

/** PASETO's pre-authentication encoding: how many pieces, then each with its length before it. */
export function preAuth(pieces) {
  return Uint8Array.from([count(pieces.length), ...pieces.flatMap((piece) => [count(piece.length), piece])].flatMap((bytes) => [...bytes]));
}

const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');

/** PASETO v4.public over a payload, without footer and implicit assertion. */
export async function paseto(payload, sign) {
  const message = utf8(payload);
  const signature = await sign(preAuth([utf8(HEADER), message, new Uint8Array(), new Uint8Array()]));
  return HEADER + base64url(Uint8Array.of(...message, ...signature));
}

/** A token by which the ledger knows the agency; src/api/token.rs has the claims. */
export async function token(key, { origin, seconds = 1800 }) {
  const now = Math.floor((Date.now() + (await offset())) / 1000);
  const time = (at) => new Date(at * 1000).toISOString().replace('.000Z', 'Z');
  const claims = { iss: key.party, sub: hex(key.keyId), aud: origin, iat: time(now), nbf: time(now), exp: time(now + seconds) };
  return paseto(JSON.stringify(claims), key.sign);
}
