// What the desk signs, without a browser: the body of a record from the fields of a form.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { bodyOf, linesOf } from '../../src/web/assets/js/desk/fields.js';
import { wire } from '../../src/web/assets/js/wire.js';

// So that a moment typed in local time is told from one in UTC.
process.env.TZ = 'Asia/Shanghai';
const { CUSTODY_FIXTURES: FIXTURES } = process.env;
const messages = await wire(new Uint8Array(readFileSync(join(FIXTURES, 'custody.v1.binpb'))));

test('given fields of every kind, when a body is made, then it is JSON that the proto takes', () => {
  const body = bodyOf([
    { path: 'kind', value: 'CASE_KIND_SAFETY' },
    { path: 'grounds.findings', as: 'numbers', value: ' 3, 5，8 ' },
    { path: 'grounds.subjects', as: 'lines', value: 'uscc:91350100M000100Y43\n\n gln:0614141000005 \n' },
    { path: 'grounds.signals', as: 'json', value: '[{"kind":"SIGNAL_KIND_AT_REST","logIndex":"7"}]' },
    { path: 'grounds.reports', as: 'numbers', value: ' , ' },
    { path: 'legalBasis', value: ' ' },
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
    { path: 'secret', as: 'kept-secret', value: 'FFfe' },
    { path: 'months', as: 'number', value: ' 3 ' },
    { path: 'untilMs', as: 'ms', value: '2026-03-07T10:30' },
  ]), {
    notice: { algorithm: 'DIGEST_ALGORITHM_SHA256', value }, date: 20260307, inspectors: ['AQI=', 'AwQ='], id: 'AQI=',
    secret: '//4=', months: 3, untilMs: String(Date.UTC(2026, 2, 7, 2, 30)),
  });
});

test('given JSON in hidden fields, when a body is made, then it becomes one with what is there', () => {
  const fields = [
    { path: 'grounds.findings', as: 'numbers', value: '3' },
    { path: '', as: 'json', value: '{"plan":"4","grounds":{"findings":["5"],"subjects":["gln:0614141000005"]}}' },
    { path: 'grounds.subjects', as: 'lines', value: 'uscc:91350100M000100Y43' },
    { path: 'grounds', as: 'json', value: '{"claims":["9"]}' },
  ];
  const body = {
    plan: '4', grounds: { findings: ['3', '5'], subjects: ['gln:0614141000005', 'uscc:91350100M000100Y43'], claims: ['9'] },
  };
  assert.deepEqual(bodyOf(fields), body);
});

test('given a plan of inspections, when its body is made, then the record holds it', () => {
  const { body: { value } } = messages.fromJson('Record', { announceInspections: bodyOf([
    { path: 'document', value: 'R 1' },
    { path: 'role', value: 'ROLE_COURIER' },
    { path: 'rates.a', value: '10' },
    { path: 'inspectors', as: 'list', value: 'AQI=' },
    { path: 'secretCommitment', value: 'AwQ=' },
  ]) });
  assert.deepEqual([value.document, value.role, value.rates.a, value.inspectors.map((id) => [...id]), [...value.secretCommitment]], ['R 1', 4, 10, [[1, 2]], [3, 4]]);
});

test('given a field that does not fit, when a body is made or read, then it is an error', () => {
  assert.throws(() => bodyOf([{ path: 'a', value: '1' }, { path: 'a.b', value: '2' }]), /twice/);
  assert.throws(() => bodyOf([{ path: 'a', as: 'list', value: '1' }, { path: 'a.b', value: '2' }]), /twice/);
  assert.throws(() => bodyOf([{ path: '', value: 'text' }]), /needs a path/);
  for (const value of ['0', '01g2', '0x12']) assert.throws(() => bodyOf([{ path: 'a', as: 'bytes-hex', value }]), { zh: /./ }, value);
  assert.throws(() => bodyOf([{ path: 'a', value: '1' }, { path: 'a', value: '2' }]), /twice/);
  assert.throws(() => bodyOf([{ path: 'a', as: 'poem', value: '1' }]), /no way/);
  for (const body of [{ closeCase: { outcome: 'CASE_OUTCOME_LUCK' } }, { closeCase: { verdict: 'x' } }, { close: {} }, { closeCase: { case: '-1' } },
    { decideListing: bodyOf([{ path: 'months', as: 'number', value: 'three' }]) }]) {
    assert.throws(() => messages.fromJson('Record', body), JSON.stringify(body));
  }
});

test('given a body, when it is shown before it is signed, then every value is there', () => {
  assert.deepEqual(linesOf({ a: { b: { c: '1' } }, c: ['x', 'y'], d: [{ e: 2 }, { e: 3 }] }), [
    ['a.b.c', '1'], ['c', 'x, y'], ['d[0].e', '2'], ['d[1].e', '3'],
  ]);
});
