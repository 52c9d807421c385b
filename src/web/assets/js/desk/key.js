// The key by which this browser signs for an agency, and the tokens that it makes.

import { forget, recall } from '../scan/store.js';
import { offset } from '../scan/clock.js';
import { deviceKey } from '../scan/keys.js';
import { enrolment } from '../scan/enrol.js';
import { equal, hex } from '../scan/lang.js';

/** Under which names it is kept: the same browser may be a scanner as well. */
export const PREFIX = 'desk-';
export const KEY = `${PREFIX}key`;

/** The key, once an administrator has enrolled it; else nothing. */
export async function deskKey() {
  const [enrolled, kept] = await Promise.all([enrolment(PREFIX), recall(KEY)]);
  if (!enrolled || !kept || !equal(kept.publicKey, enrolled.publicKey)) return null;
  return { ...(await deviceKey(KEY)), party: enrolled.party, partyName: enrolled.partyName };
}

/** As people compare it. */
export const keyNumber = ({ keyId }) => hex(keyId).slice(0, 8);

/** It is gone for good: nobody has a copy. */
export async function forgetKey() {
  await Promise.all(['key', 'enrolled', 'pending'].map((name) => forget(PREFIX + name)));
}

const HEADER = 'v4.public.';
const SLACK_SECONDS = 5;
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

/** What a token says; src/api/token.rs has the claims. `now` is the ledger's time in milliseconds. */
export function claims(key, { origin, now, seconds }) {
  // Clocks agree to a second or two only, and a token of the future is none.
  const from = Math.floor(now / 1000) - SLACK_SECONDS;
  const time = (at) => new Date(at * 1000).toISOString().replace('.000Z', 'Z');
  return { iss: key.party, sub: hex(key.keyId), aud: origin, iat: time(from), nbf: time(from), exp: time(from + seconds) };
}

/** A token by which the ledger knows the agency. */
export async function token(key, { origin, seconds = 1800 }) {
  const now = Date.now() + (await offset());
  return paseto(JSON.stringify(claims(key, { origin, now, seconds })), key.sign);
}
