// The tokens by which a browser logs in at the desk: PASETO v4.public, as src/api/token.rs takes them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { claims, paseto, preAuth } from '../../src/web/assets/js/desk/key.js';
import { sign } from '../../src/web/assets/vendor/ed25519.js';

const utf8 = (text) => new TextEncoder().encode(text);
const unhex = (text) => new Uint8Array(Buffer.from(text, 'hex'));

test('given pieces, when they are encoded to be signed, then it is as PASETO’s specification shows', () => {
  const encoded = (...pieces) => Buffer.from(preAuth(pieces.map(utf8))).toString('hex');
  // paseto-spec, Common.md, "Authentication Padding".
  assert.equal(encoded(), '0000000000000000');
  assert.equal(encoded(''), '01000000000000000000000000000000');
  assert.equal(encoded('test'), '0100000000000000040000000000000074657374');
  // Lengths are of bytes, and more than one byte long.
  assert.equal(encoded('签'.repeat(100)).slice(0, 32), '01000000000000002c01000000000000');
});

test('given the official vector, when a token is made, then it is the same', async () => {
  // paseto-standard/test-vectors, v4.json, 4-S-1: neither a footer nor an implicit assertion.
  const seed = unhex('b4cbfb43df4ce210727d953e4a713307fa19bb7d9f85041438d9e11b942a3774');
  const token = await paseto('{"data":"this is a signed message","exp":"2022-01-01T00:00:00+00:00"}', async (bytes) => sign(bytes, seed));
  assert.equal(
    token,
    'v4.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIiwiZXhwIjoiMjAyMi0wMS0wMVQwMDowMDowMCswMDowMCJ9bg_XBBzds8lTZShVlwwKSgeKpLT3yukTw6JUz3W4h_ExsQV-P0V54zemZDcAxFaSeef1QlXEFtkqxT1ciiQEDA',
  );
});

test('given a key, when a token is made, then it says whose it is, and is good for no longer than was asked', () => {
  const key = { party: 'uscc:91350100M000100Y43', keyId: unhex('00'.repeat(15) + 'a1') };
  const now = Date.parse('2026-11-27T10:00:07.900Z');
  assert.deepEqual(claims(key, { origin: 'sample.example/ledger', now, seconds: 3600 }), {
    iss: 'uscc:91350100M000100Y43',
    sub: '000000000000000000000000000000a1',
    aud: 'sample.example/ledger',
    // A little before now: the ledger's clock may be behind by as much as can't be measured.
    iat: '2026-11-27T10:00:02Z',
    nbf: '2026-11-27T10:00:02Z',
    exp: '2026-11-27T11:00:02Z',
  });
});
