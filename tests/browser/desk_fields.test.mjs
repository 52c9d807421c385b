// What the desk signs, without a browser: the body of a record from the fields of a form, and tokens.

import assert from 'node:assert/strict';
import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { bodyOf, linesOf } from '../../src/web/assets/js/desk/fields.js';
import { wire } from '../../src/web/assets/js/wire.js';

const { CUSTODY_FIXTURES: FIXTURES } = process.env;
const messages = await wire(new Uint8Array(readFileSync(join(FIXTURES, 'custody.v1.binpb'))));

test('given fields of every kind, when a body is made, then it is JSON that the proto takes', () => {
  const body = bodyOf([
    { path: 'kind', value: 'CASE_KIND_SAFETY' },
    { path: 'grounds.findings', as: 'numbers', value: ' 3, 5，8 ' },
    { path: 'grounds.subjects', as: 'lines', value: 'uscc:91350100M000100Y43\n\n gln:0614141000005 \n' },
    { path: 'grounds.signals', as: 'json', value: '[{"kind":"SIGNAL_KIND_AT_REST","logIndex":"7"}]' },
    { path: 'grounds.reports', as: 'numbers', value: ' ' },
    { path: 'document', value: ' 闽〔2026〕1 号 ' },
  ]);
  assert.deepEqual(body, {
    kind: 'CASE_KIND_SAFETY',
    grounds: {
      findings: ['3', '5', '8'],
      subjects: ['uscc:91350100M000100Y43', 'gln:0614141000005'],
      signals: [{ kind: 'SIGNAL_KIND_AT_REST', logIndex: '7' }],
    },
    document: '闽〔2026〕1 号',
  });
  const { body: { case: name, value } } = messages.fromJson('Record', { openCase: body });
  assert.equal(name, 'openCase');
  assert.deepEqual(value.grounds.findings, [3n, 5n, 8n]);
});

test('given digests, dates and lists, when a body is made, then each is as the proto writes it', () => {
  const file = new TextEncoder().encode('what was served');
  const value = createHash('sha256').update(file).digest('base64');
  assert.deepEqual(bodyOf([
    { path: 'notice', as: 'digest', value: file },
    { path: 'report', as: 'digest', value: undefined },
    { path: 'date', as: 'month-day', value: '2026-03-07' },
    { path: 'inspectors', as: 'list', value: 'AQI=' },
    { path: 'inspectors', as: 'list', value: 'AwQ=' },
    { path: 'id', as: 'bytes-hex', value: '0102' },
    { path: '', as: 'json', value: '{"plan":4}' },
  ]), {
    notice: { algorithm: 'DIGEST_ALGORITHM_SHA256', value }, date: 20260307, inspectors: ['AQI=', 'AwQ='], id: 'AQI=', plan: 4,
  });
});

test('given a field that does not fit, when a body is made or read, then it is an error', () => {
  assert.throws(() => bodyOf([{ path: 'a', value: '1' }, { path: 'a.b', value: '2' }]), /holds a value/);
  assert.throws(() => bodyOf([{ path: 'a', value: '1' }, { path: 'a', value: '2' }]), /twice/);
  assert.throws(() => bodyOf([{ path: 'a', as: 'poem', value: '1' }]), /no way/);
  for (const body of [{ closeCase: { outcome: 'CASE_OUTCOME_LUCK' } }, { closeCase: { verdict: 'x' } }, { close: {} }, { closeCase: { case: '-1' } }]) {
    assert.throws(() => messages.fromJson('Record', body), JSON.stringify(body));
  }
});

test('given a body, when it is shown before it is signed, then every value is there', () => {
  assert.deepEqual(linesOf({ a: { b: '1' }, c: ['x', 'y'], d: [{ e: 2 }, { e: 3 }] }), [
    ['a.b', '1'], ['c', 'x, y'], ['d[0].e', '2'], ['d[1].e', '3'],
  ]);
});

test('given a payload and a key, when a token is made, then PASETO’s own rules accept it', async () => {
  globalThis.btoa ??= (text) => Buffer.from(text, 'latin1').toString('base64');
  const { paseto, preAuth } = await import('../../src/web/assets/js/desk/key.js');
  const hexed = (pieces) => Buffer.from(preAuth(pieces.map((text) => new TextEncoder().encode(text)))).toString('hex');
  // https://github.com/paseto-standard/paseto-spec, Common.md, PAE.
  assert.equal(hexed([]), '0000000000000000');
  assert.equal(hexed(['']), '01000000000000000000000000000000');
  assert.equal(hexed(['test']), '0100000000000000040000000000000074657374');
  const seed = Buffer.alloc(32, 7);
  const secret = createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]), format: 'der', type: 'pkcs8' });
  const token = await paseto('{"iss":"x"}', async (bytes) => new Uint8Array(sign(null, bytes, secret)));
  assert.match(token, /^v4\.public\.[A-Za-z0-9_-]+$/);
  const body = Buffer.from(token.slice('v4.public.'.length), 'base64url');
  const signed = Buffer.from(preAuth([Buffer.from('v4.public.'), body.subarray(0, -64), Buffer.alloc(0), Buffer.alloc(0)]));
  assert.ok(verify(null, signed, createPublicKey(secret), body.subarray(-64)));
  assert.equal(body.subarray(0, -64).toString(), '{"iss":"x"}');
});
