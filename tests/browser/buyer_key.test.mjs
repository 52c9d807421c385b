// The key that a browser makes from a buyer's secret is the one that the program makes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buyerKey, fen, readSecret } from '../../src/web/assets/js/buyer_key.js';

const hex = (bytes) => Buffer.from(bytes).toString('hex');

test('given the secret that src/core/printed.rs knows, when a key is made, then it is the same', () => {
  const secret = readSecret('070W3GE1R70W3GE1R70W3GE1R7');
  assert.equal(hex(secret), '07'.repeat(16));
  assert.equal(hex(buyerKey(secret).publicKey), '16dd7abcd98bc3700ad601db60bc5d6826b58ceaa57a1126e64323f75eaf7ac3');
});

test('given a secret as people type it, when read, then it is the same', () => {
  assert.deepEqual(readSecret('o7ow3ge-lr7ow3ge lr7ow3gelr7'), readSecret('070W3GE1R70W3GE1R70W3GE1R7'));
});

test('given what is no secret, when read, then there is none', () => {
  const none = ['', '7ZZZZZZZZZZZZZZZZZZZZZZZZ', '7ZZZZZZZZZZZZZZZZZZZZZZZZZZ', '8ZZZZZZZZZZZZZZZZZZZZZZZZZ', 'UZZZZZZZZZZZZZZZZZZZZZZZZZ'];
  for (const text of none) assert.equal(readSecret(text), null, text);
});

test('given yuan, when read, then they are whole fen, and nothing else is', () => {
  for (const [text, amount] of [['128.50', 12850n], ['1', 100n], [' 0.1 ', 10n], ['0', null], ['1.005', null], ['-1', null], ['1e3', null]]) {
    assert.equal(fen(text), amount, text);
  }
});
