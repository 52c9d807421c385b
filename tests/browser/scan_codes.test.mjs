// What the courier's scanner reads, and what it proves when it joins a firm.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brief, readBuyer, readEnrolment, readUnit } from '../../src/web/assets/js/scan/codes.js';
import { keyMac, partyMac, possession, room } from '../../src/web/assets/js/scan/enrol_code.js';
import { readParty } from '../../src/web/assets/js/scan/parties.js';
import { getPublicKey, sign } from '../../src/web/assets/vendor/ed25519.js';
import { readSecret } from '../../src/web/assets/js/buyer_key.js';

const hex = (bytes) => Buffer.from(bytes).toString('hex');

test('given a unit in any form, when read, then it is the canonical id', () => {
  for (const [text, unit] of [
    ['01/09521141012345/21/2017', '01/09521141012345/21/2017'],
    [' https://id.gs1.org/01/09521141012345/21/2017 ', '01/09521141012345/21/2017'],
    ['HTTP://e.cn:8080/a/00/b/01/09521141012345/22/2A/10/L%2F1/21/20%2F17?17=261231#x', '01/09521141012345/21/20/17'],
    ['https://e.cn/01/9521141012345/21/7/', '01/09521141012345/21/7'],
    ['https://e.cn/00/106141412345678908', '00/106141412345678908'],
    ['https://e.cn/waybill/sf:SF1234567890123#k=070W3GE1R70W3GE1R70W3GE1R7', 'waybill/sf:SF1234567890123'],
    ['(01)09521141012345(21)2017', '01/09521141012345/21/2017'],
    ['(01)09521141012345(17)261231(10)L1(21)A(b)', '01/09521141012345/21/A(b)'],
    ['(01)09521141012345(21)a\\(10)b', '01/09521141012345/21/a(10)b'],
    ['(00)106141412345678908', '00/106141412345678908'],
    ['010614141000001421SER', '01/06141410000014/21/SER'],
    ['01095211410123451726123110L1\u001d212017', '01/09521141012345/21/2017'],
    ['\u001d010952114101234521A\u001d10L1', '01/09521141012345/21/A'],
    [']d2010952114101234521A\u001d3103001750', '01/09521141012345/21/A'],
    [']C100106141412345678908', '00/106141412345678908'],
    ['0106901234567892240X1\u001d21S9', '01/06901234567892/21/S9'],
    ['urn:epc:id:sgtin:9521141.001234.2017', '01/09521141012345/21/2017'],
    ['urn:epc:id:sscc:0614141.1234567890', '00/106141412345678908'],
    ['81234567890123456789', 'drug/81234567890123456789'],
    ['drug/81234567890123456789', 'drug/81234567890123456789'],
    ['SF: SF 1234-567890123', 'waybill/sf:SF1234567890123'],
    ['waybill/sf:SF1234567890123', 'waybill/sf:SF1234567890123'],
  ]) {
    assert.equal(readUnit(text), unit, text);
  }
});

test('given what names no unit, when read, then it is an error and no record', () => {
  for (const text of [
    '', ' ', 'hello', '6901234567892', '(01)09521141012345', '(01)09521141012346(21)1', '(01)6901234567892(21)1', '(21)1', '()', '(',
    '(01)09521141012345(21)1(21)2', '(00)106141412345678908(01)09521141012345(21)1', '0109521141012345', '00106141412345678909',
    '01/09521141012345/21/', '01/09521141012345/21/a b', '01/09521141012345/21/123456789012345678901', 'https://e.cn/', 'https://e.cn/01/09521141012345',
    'https://e.cn/01/09521141012345/21/%', 'https://e.cn/01/09521141012345/21/1/10/L', 'uscc:91110000802100433B', 'gln:6901234500004', 'sf:', ':1234', 'S F:1234',
    '71234567890123456789', 'SF1234567890123', 'urn:epc:id:sgln:9521141.00123.0', 'x'.repeat(3000),
  ]) {
    assert.throws(() => readUnit(text), { zh: /./, en: /./ }, text);
  }
});

test('given a bare waybill number, when the courier has set a carrier, then it is that carrier’s', () => {
  assert.equal(readUnit('sf1234567890123', { carrier: 'sf' }), 'waybill/sf:SF1234567890123');
  assert.equal(readUnit('7731 2345 6789', { carrier: 'sto' }), 'waybill/sto:773123456789');
  for (const text of ['hello world', '6901234567892', 'SF12']) assert.throws(() => readUnit(text, { carrier: 'sf' }), text);
});

test('given units, when shown, then their ends are seen', () => {
  assert.equal(brief('01/09521141012345/21/20/17'), '09521141012345 · 20/17');
  assert.equal(brief('waybill/sf:SF1234567890123'), 'sf:SF1234567890123');
});

test('given a buyer’s code, when read, then it is the key’s secret or its id', () => {
  const secret = '070W3GE1R70W3GE1R70W3GE1R7';
  assert.deepEqual(readBuyer(`https://e.cn/01/09521141012345/21/1#k=${secret}`), { secret });
  assert.deepEqual(readBuyer(secret), { secret });
  assert.deepEqual(readBuyer('6E9A3BC8FA4EDFF8FC04BB16473D31DC'), { id: '6e9a3bc8fa4edff8fc04bb16473d31dc' });
  assert.equal(readBuyer('(01)09521141012345(21)2017'), null);
  assert.equal(readBuyer('sf:SF1234567890123'), null);
});

test('given firms as people write them, when read, then both check characters hold', () => {
  assert.equal(readParty(' 91110000802100433b '), 'uscc:91110000802100433B');
  assert.equal(readParty('uscc:91350100M000100Y43'), 'uscc:91350100M000100Y43');
  assert.equal(readParty('USCC：91370200264574251E'), 'uscc:91370200264574251E');
  assert.equal(readParty('gln:6901234500004'), 'gln:6901234500004');
  for (const text of ['', '91110000802100433C', '9111000080210043', 'gln:6901234500005', 'uscc:91350100M000100Y5X']) {
    assert.throws(() => readParty(text), { zh: /./ }, text);
  }
});

test('given the code of an enrolment, when both sides compute, then these are the values', () => {
  const secret = readSecret(readEnrolment('https://ledger.example/scan#enrol=070W3GE1R70W3GE1R70W3GE1R7'));
  const seed = new Uint8Array(32).fill(9);
  const publicKey = getPublicKey(seed);
  const [origin, party] = ['sample.example/ledger', 'uscc:91110000802100433B'];
  const values = {
    secret: hex(secret),
    room: room(secret),
    partyMac: hex(partyMac(secret, party)),
    publicKey: hex(publicKey),
    keyMac: hex(keyMac(secret, publicKey)),
    possession: hex(sign(possession(origin, party), seed)),
  };
  assert.deepEqual(values, VECTORS);
});

// src/web knows the same ones. The secret is 16 times 7, the key's seed 32 times 9.
const VECTORS = {
  secret: '07070707070707070707070707070707',
  room: '37cf186acaad5ed3d89394c2db679bdc',
  partyMac: 'b80861b8c9c0e7edacebe4b40a9707e9b5920de9a51cec72b535fb5f55d3f4de',
  publicKey: 'fd1724385aa0c75b64fb78cd602fa1d991fdebf76b13c58ed702eac835e9f618',
  keyMac: '52a7208d5fbeaedffc5369edd43b7348c559ec69844750a26a7dc666d6b02a8a',
  possession:
    'baabb4056e532109aa7c4fefdc68d59bb2ce41c0838cecd35ed2b815f9d9153e0f0f1467fdfa916f891a46eb9b62b73575477805654cef1bab02a7a85eb6010c',
};
