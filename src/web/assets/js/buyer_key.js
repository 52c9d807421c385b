// A buyer's key, made from the secret that the shop printed on the order (src/core/printed.rs says how).

import { getPublicKey, sha256, sign } from '../vendor/ed25519.js';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const SECRET_BYTES = 16;
const DOMAIN = 'custody buyer key v1\0';

/** The secret of 128 bits in Crockford's Base32, as it is printed; none when it is not one. */
export function readSecret(text) {
  const letters = text.toUpperCase().replace(/[-\s]/g, '').replace(/O/g, '0').replace(/[IL]/g, '1');
  if (letters.length !== 26) return null;
  let number = 0n;
  for (const letter of letters) {
    const value = ALPHABET.indexOf(letter);
    if (value < 0) return null;
    number = (number << 5n) | BigInt(value);
  }
  // 26 letters hold 130 bits; the first two are not used.
  if (number >> 128n) return null;
  const bytes = new Uint8Array(SECRET_BYTES);
  for (let place = SECRET_BYTES - 1; place >= 0; place -= 1, number >>= 8n) bytes[place] = Number(number & 255n);
  return bytes;
}

/** The key that a secret stands for: its seed is SHA-256 of the domain and the secret. */
export function buyerKey(secret) {
  const domain = new TextEncoder().encode(DOMAIN);
  const seed = sha256(Uint8Array.of(...domain, ...secret));
  return { publicKey: getPublicKey(seed), sign: async (bytes) => sign(bytes, seed) };
}

/** Whole fen, from yuan as they are written. */
export function fen(yuan) {
  const [, whole, part = ''] = /^([0-9]{1,9})(?:\.([0-9]{1,2}))?$/.exec(yuan.trim()) ?? [];
  if (whole === undefined) return null;
  const amount = BigInt(whole) * 100n + BigInt(part.padEnd(2, '0'));
  return amount > 0n ? amount : null;
}
