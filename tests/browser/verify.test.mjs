// The browser's verifier of unit bundles. Run with `node --test`.
//
// CUSTODY_FIXTURES names a folder with bundles of a real ledger (`*.bundle`), the log's verifier key
// (`log.vkey`) and the descriptors (`custody.v1.binpb`). CUSTODY_SHARED names one with
// `data/ed25519/speccheck-cases.json`; without it those cases are skipped, and it is said.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { wire as loadWire } from '../../src/web/assets/js/wire.js';
import { NOT_CHECKED, accepts, mayRegister, verifyBundle } from '../../src/web/assets/js/verify.js';
import { getPublicKey, sha256, sign } from '../../src/web/assets/vendor/ed25519.js';

const fixtures = process.env.CUSTODY_FIXTURES;
if (!fixtures) throw new Error('set CUSTODY_FIXTURES to a folder with bundles of a real ledger');
const read = (...path) => new Uint8Array(readFileSync(join(...path)));

const wire = await loadWire(read(fixtures, 'custody.v1.binpb'));
const realKey = readFileSync(join(fixtures, 'log.vkey'), 'utf8');
const real = readdirSync(fixtures)
  .filter((name) => name.endsWith('.bundle'))
  .sort()
  .map((name) => ({ name, bytes: read(fixtures, name) }));

const NAMES = ['format', 'checkpoint', 'inclusion', 'signatures', 'chain'];
const utf8 = (text) => new TextEncoder().encode(text);
const hex = (bytes) => Buffer.from(bytes).toString('hex');
const unhex = (text) => new Uint8Array(Buffer.from(text, 'hex'));
const base64 = (bytes) => Buffer.from(bytes).toString('base64');
const concat = (...parts) => new Uint8Array(Buffer.concat(parts.map((part) => Uint8Array.from(part))));

const check = (bytes, vkey = realKey) => verifyBundle(bytes, { wire, vkey });
const decode = (bytes) => wire.decode('UnitBundle', bytes);

/** Encodes a bundle with the digest that fits it: a liar would. */
function encode(bundle) {
  const digest = sha256(wire.encode('UnitBundle', { ...bundle, digest: new Uint8Array() }));
  return wire.encode('UnitBundle', { ...bundle, digest });
}

/** Whether all checks before the named one pass, it fails, and none is made after it. */
async function assertFails(bytes, name, { vkey, index, says } = {}) {
  const report = await check(bytes, vkey);
  const expected = Array.isArray(name) ? name : [name];
  const last = report.checks.at(-1);
  const shown = JSON.stringify(report.checks);
  assert.equal(report.passed, false, shown);
  assert.ok(expected.includes(last.name) && !last.passed, `expected ${expected}: ${shown}`);
  assert.deepEqual(report.checks.map((made) => made.name), NAMES.slice(0, report.checks.length));
  assert.ok(report.checks.slice(0, -1).every((made) => made.passed), shown);
  assert.match(last.detail, says ?? /^[A-Z].*\.$/, 'a plain sentence');
  if (index !== undefined) assert.equal(last.data.index, index, shown);
}

// --- A ledger of the test's own: the tree as RFC 9162 defines it, not as the verifier climbs it ---

const leaf = (entry) => sha256(concat([0], entry));
const node = (left, right) => sha256(concat([1], left, right));
/** The largest power of two below n. */
const split = (n) => 2 ** (Math.ceil(Math.log2(n)) - 1);

/** Section 2.1.1, MTH. */
function treeHash(leaves) {
  if (leaves.length === 1) return leaf(leaves[0]);
  const k = split(leaves.length);
  return node(treeHash(leaves.slice(0, k)), treeHash(leaves.slice(k)));
}

/** Section 2.1.3.1, PATH. */
function path(m, leaves) {
  if (leaves.length === 1) return [];
  const k = split(leaves.length);
  return m < k
    ? [...path(m, leaves.slice(0, k)), treeHash(leaves.slice(k))]
    : [...path(m - k, leaves.slice(k)), treeHash(leaves.slice(0, k))];
}

const ORIGIN = 'test.example/ledger';
const secret = (seed) => new Uint8Array(32).fill(seed);
const publicKey = (seed) => ({ suite: 1, publicKey: getPublicKey(secret(seed)) });
const keyId = (key) => sha256(concat([key.suite], key.publicKey)).slice(0, 16);
const LOG = 200;

/** A signed note of a log's key, and its verifier key. */
function note(text, seed = LOG, name = ORIGIN) {
  return noteOf(text, name, concat([1], getPublicKey(secret(seed))), sign(utf8(text), secret(seed)));
}

function noteOf(text, name, typed, signature) {
  const id = sha256(concat(utf8(`${name}\n`), typed)).slice(0, 4);
  return {
    bytes: utf8(`${text}\n— ${name} ${base64(concat(id, signature))}\n`),
    vkey: `${name}+${hex(id)}+${base64(typed)}`,
  };
}

/** A bundle whose tree and checkpoint are right, whatever the entries say. */
function seal(unit, leaves, { padding = 0, origin = ORIGIN, keep = () => true } = {}) {
  const tree = [...leaves, ...Array.from({ length: padding }, (_, i) => utf8(`other ${i}`))];
  const signed = note(`${origin}\n${tree.length}\n${base64(treeHash(tree))}\n`, LOG, origin);
  const entries = leaves
    .map((entry, index) => ({ index: BigInt(index), entry, proof: path(index, tree) }))
    .filter((_, index) => keep(index));
  return { vkey: signed.vkey, bytes: encode({ format: 1, origin, unit, checkpoint: signed.bytes, entries }) };
}

function pae(payload) {
  const type = 'application/vnd.custody.record.v1+protobuf';
  return concat(utf8(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload);
}

/** Writes the entries of a small log, and keeps the heads of its chains. */
class Log {
  leaves = [];
  heads = new Map();

  /** Adds a record; what is given beyond the body takes the place of what an honest client says. */
  add(seed, kind, value = {}, { units = [], refs, around = [], beside = [], entry = {}, ...record } = {}) {
    const ref = (id) => ({ id, prev: this.heads.get(id) ?? new Uint8Array() });
    const body = { case: kind, value: value.container ? { container: ref(value.container) } : value };
    const key = publicKey(seed);
    const payload = wire.encode('Record', {
      format: 1,
      origin: ORIGIN,
      suite: 1,
      keyId: keyId(key),
      nonce: new Uint8Array(16).fill(this.leaves.length),
      units: refs ?? units.map(ref),
      containers: around.map(ref),
      body,
      ...record,
    });
    const signature = sign(pae(payload), secret(seed));
    const envelope = { payload, keyId: record.keyId ?? keyId(key), signature };
    this.leaves.push(wire.encode('Entry', { format: 1, envelope, verdict: { beside }, ...entry }));
    if (beside.length === 0) {
      const joined = [...units, ...(value.container ? [value.container] : []), ...(value.outputs ?? [])];
      for (const id of joined) this.heads.set(id, sha256(pae(payload)));
    }
    return this;
  }

  /** The regulator's keys and a maker with goods: the unit 'u' in the case 'c' on the pallet 'p'. */
  static packed() {
    return new Log()
      .add(1, 'genesis', { regulatorKeys: [publicKey(1), publicKey(9)] })
      .add(2, 'registerParty', { key: publicKey(2) })
      .add(9, 'approveParty')
      .add(2, 'commission', {}, { units: ['u'] })
      .add(2, 'commission', {}, { units: ['c', 'p'] })
      .add(2, 'pack', { container: 'c' }, { units: ['u'] })
      .add(2, 'pack', { container: 'p' }, { units: ['c'] })
      .add(2, 'scan', {}, { units: ['p'] })
      .add(2, 'scan', {}, { units: ['u'], around: ['c', 'p'] });
  }

  seal(options) {
    return seal('u', this.leaves, options);
  }

  async assertPasses() {
    const { bytes, vkey } = this.seal();
    const report = await check(bytes, vkey);
    assert.ok(report.passed, JSON.stringify(report.checks.at(-1)));
    return report;
  }

  async assertFails(name, options) {
    const { bytes, vkey } = this.seal();
    await assertFails(bytes, name, { vkey, ...options });
  }
}

// --- Bundles of a real ledger -------------------------------------------------------------------

const reports = [];
for (const { bytes } of real) reports.push(await check(bytes));
/** The bundle with the longest chain among those of items that were in a container. */
const chosen = real
  .map((bundle, i) => ({ ...bundle, data: reports[i].checks.at(-1).data, unit: reports[i].unit }))
  .filter(({ data, unit }) => data.containers > 0 && unit?.startsWith('01/'))
  .sort((a, b) => b.data.records - a.data.records)[0];

test('every bundle of a real ledger passes', () => {
  assert.ok(real.length > 0, 'there are bundles');
  for (const [i, report] of reports.entries()) {
    assert.ok(report.passed, `${real[i].name}: ${report.checks.at(-1).detail}`);
    assert.deepEqual(report.checks.map((made) => made.name), NAMES);
    const bundle = decode(real[i].bytes);
    assert.deepEqual([report.unit, report.origin], [bundle.unit, bundle.origin]);
    assert.ok(report.logSize > Number(bundle.entries.at(-1).index));
  }
  assert.ok(chosen?.data.records >= 4, 'one of them has a chain of some length, and a container');
});

test('what is encoded again is what was encoded', () => {
  for (const { bytes } of real) assert.deepEqual(encode(decode(bytes)), bytes);
});

test('no byte of a bundle may be changed', async () => {
  const smallest = real.toSorted((a, b) => a.bytes.length - b.bytes.length)[0];
  const step = Math.max(1, Math.floor(chosen.bytes.length / 900));
  for (const [{ bytes }, by] of [[smallest, 1], [chosen, step]]) {
    for (let at = 0; at < bytes.length; at += by) {
      const changed = bytes.slice();
      changed[at] ^= 1 << at % 8;
      assert.equal((await check(changed)).passed, false, `byte ${at} changed, and nobody noticed`);
    }
  }
});

test('no byte of a bundle may be changed even if the digest fits', async (t) => {
  const { bytes } = chosen;
  const step = Math.max(1, Math.floor(bytes.length / 900));
  const failed = {};
  for (let at = 0; at < bytes.length - 34; at += step) {
    const changed = bytes.slice();
    changed[at] ^= 1 << at % 8;
    let again = changed;
    try {
      again = encode(decode(changed));
    } catch {
      // It can't even be decoded.
    }
    // A wire type that was wrong is set right by encoding it again.
    if (Buffer.compare(again, bytes) === 0) continue;
    const report = await check(again);
    assert.equal(report.passed, false, `byte ${at} changed, and nobody noticed`);
    const { name } = report.checks.at(-1);
    failed[name] = (failed[name] ?? 0) + 1;
  }
  t.diagnostic(`failed: ${JSON.stringify(failed)}`);
  assert.ok(failed.inclusion > 100, 'most of them fail by the tree and not by the digest');
});

test('what was cut off, or is no bundle, is refused in a sentence', async () => {
  const { bytes } = chosen;
  for (let length = 0; length < bytes.length; length += 997) {
    await assertFails(bytes.slice(0, length), 'format');
  }
  for (let seed = 0; seed < 100; seed += 1) {
    const noise = concat(...Array.from({ length: seed }, (_, i) => sha256(Uint8Array.of(seed, i))));
    await assertFails(noise, 'format');
  }
  await assertFails(concat(bytes, [0x38, 1]), 'format', { says: /no part of the bundle/ });
  await assertFails(undefined, 'format');
});

/** For each entry, whether the record is about the unit and joined its chain. */
const isOwn = (unit) => ({ entry }) => {
  const { envelope, verdict } = wire.decode('Entry', entry);
  const { units } = wire.decode('Record', envelope.payload);
  const at = units.findIndex(({ id }) => id === unit);
  return at >= 0 && verdict.beside.length === 0;
};

test('an entry that is left out of the middle of the chain is missed', async () => {
  const bundle = decode(chosen.bytes);
  const own = bundle.entries.filter(isOwn(bundle.unit));
  assert.ok(own.length >= 3);
  for (const missing of own.slice(0, -1)) {
    const entries = bundle.entries.filter((entry) => entry !== missing);
    await assertFails(encode({ ...bundle, entries }), ['chain', 'signatures']);
  }
});

test('a registration that is left out is missed', async () => {
  const bundle = decode(chosen.bytes);
  await assertFails(encode({ ...bundle, entries: bundle.entries.slice(1) }), 'signatures');
  const registers = ({ entry }) => {
    const { envelope } = wire.decode('Entry', entry);
    return wire.decode('Record', envelope.payload).body.case === 'registerParty';
  };
  const at = bundle.entries.findIndex(registers);
  await assertFails(encode({ ...bundle, entries: bundle.entries.toSpliced(at, 1) }), 'signatures');
});

test('lies with a fitting digest are found by the check that is for them', async () => {
  const { unit, origin } = decode(chosen.bytes);
  const middle = 3;
  const change = (entry, make) => {
    const decoded = wire.decode('Entry', entry);
    make(decoded);
    return wire.encode('Entry', decoded);
  };
  const text = new TextDecoder().decode(decode(chosen.bytes).checkpoint);
  const body = text.slice(0, text.lastIndexOf('\n\n') + 1);
  const lies = [
    ['inclusion', (b) => { b.entries[middle].proof[0][0] ^= 1; }],
    ['inclusion', (b) => { b.entries[middle].proof.pop(); }],
    ['inclusion', (b) => { b.entries[middle].proof.push(new Uint8Array(32)); }],
    ['inclusion', (b) => { b.entries[middle].proof[0] = new Uint8Array(31); }],
    ['inclusion', (b) => { b.entries.at(-1).index += 1n; }],
    ['inclusion', (b) => { b.entries.at(-1).index = (1n << 64n) - 1n; }],
    ['inclusion', (b) => {
      b.entries[middle].entry = change(b.entries[middle].entry, ({ envelope }) => { envelope.signature[0] ^= 1; });
    }],
    ['inclusion', (b) => {
      b.entries[middle].entry = change(b.entries[middle].entry, (entry) => { entry.timeMs += 1n; });
    }],
    ['format', (b) => { [b.entries[3], b.entries[4]] = [b.entries[4], b.entries[3]]; }],
    ['format', (b) => { b.entries.splice(3, 0, b.entries[3]); }],
    ['format', (b) => { b.entries = []; }],
    ['format', (b) => { b.format = 2; }],
    ['format', (b) => { b.origin = 'other.example/ledger'; }],
    ['format', (b) => { b.entries[middle].entry = change(b.entries[middle].entry, (e) => { e.format = 2; }); }],
    ['format', (b) => {
      b.entries[middle].entry = change(b.entries[middle].entry, ({ envelope }) => { envelope.keyId[0] ^= 1; });
    }],
    ['format', (b) => {
      b.entries[middle].entry = change(b.entries[middle].entry, ({ envelope }) => { envelope.payload = utf8('?'); });
    }],
    ['checkpoint', (b) => { b.checkpoint = note(body, 77, origin).bytes; }],
    ['checkpoint', (b) => { b.checkpoint = utf8(text.replace('\n1', '\n2')); }],
    ['checkpoint', (b) => { b.checkpoint = utf8(text.replace('\n\n', '\n')); }],
    ['checkpoint', (b) => { b.checkpoint = utf8(body); }],
    ['checkpoint', (b) => { b.checkpoint = utf8(`${text}— ${origin} AAAA\n`); }],
    ['checkpoint', (b) => { b.checkpoint = new Uint8Array([0xff]); }],
    ['chain', (b) => { b.unit = `${unit}X`; }],
  ];
  for (const [name, lie] of lies) {
    const bundle = decode(chosen.bytes.slice());
    lie(bundle);
    await assertFails(encode(bundle), name, { says: undefined });
  }
});

test('the digest and the verifier key must be right', async () => {
  const bundle = decode(chosen.bytes);
  await assertFails(wire.encode('UnitBundle', { ...bundle, digest: new Uint8Array(32) }), 'format');
  await assertFails(wire.encode('UnitBundle', { ...bundle, digest: new Uint8Array() }), 'format');
  const [name, id, key] = realKey.trim().split('+');
  const wrong = [
    note('x\n', 77, name).vkey,
    note('x\n', 77, 'other.example/log').vkey,
    `${name}+00000000+${key}`,
    `${name}x+${id}+${key}`,
    `${name}+${id}`,
    '',
    undefined,
  ];
  // A key of small order, and one of a witness (type 4).
  for (const typed of [concat([1, 1], new Uint8Array(31)), concat([4], getPublicKey(secret(1)))]) {
    const hash = sha256(concat(utf8(`${name}\n`), typed)).slice(0, 4);
    wrong.push(`${name}+${hex(hash)}+${base64(typed)}`);
  }
  for (const vkey of wrong) {
    const report = await verifyBundle(chosen.bytes, { wire, vkey });
    assert.deepEqual(report.checks.map((made) => [made.name, made.passed]), [['format', true], ['checkpoint', false]]);
  }
});

test('who asks is told of each check when it is made', async () => {
  const told = [];
  const report = await verifyBundle(chosen.bytes, { wire, vkey: realKey, onCheck: (made) => told.push(made) });
  assert.deepEqual(told, report.checks);
  for (const { detail, data } of told) {
    assert.match(detail, /^[A-Z0-9].*\.$/);
    assert.ok(Object.values(data).every(Number.isInteger));
  }
  assert.ok(NOT_CHECKED.some(({ name }) => name === 'verdicts'));
});

// --- A ledger that lies about more than it could without its key ---------------------------------

test('a log of the test’s own passes, with containers in containers', async () => {
  const report = await Log.packed().assertPasses();
  assert.deepEqual(report.checks.at(-1).data, { records: 3, containers: 2 });
});

test('inclusion is proven in trees of every shape', async () => {
  const { leaves } = Log.packed();
  for (let padding = 0; padding < 40; padding += 1) {
    const { bytes, vkey } = seal('u', leaves, { padding });
    const report = await check(bytes, vkey);
    assert.ok(report.passed, `padding ${padding}: ${report.checks.at(-1).detail}`);
    assert.equal(report.logSize, leaves.length + padding);
  }
  // Entry 5 of 6 has the siblings of entry 3 at its left, but one level less above.
  const { bytes, vkey } = seal('u', leaves.slice(0, 6), { keep: (index) => index < 2 || index === 5 });
  const bundle = decode(bytes);
  bundle.entries[2].index = 3n;
  await assertFails(encode(bundle), 'inclusion', { vkey, index: 3 });
  const single = seal('u', leaves.slice(0, 1));
  await assertFails(single.bytes, 'chain', { vkey: single.vkey, says: /No entry is about u/ });
});

test('the checkpoint must be of this ledger, by a key under which not anybody can sign', async () => {
  const { bytes } = Log.packed().seal();
  const bundle = decode(bytes);
  const lines = new TextDecoder().decode(bundle.checkpoint).split('\n').slice(1, 3).join('\n');
  const other = note(`other.example/ledger\n${lines}\n`);
  await assertFails(encode({ ...bundle, checkpoint: other.bytes }), 'checkpoint', { vkey: other.vkey, says: /not of test/ });
  const nobody = Uint8Array.of(1, ...new Uint8Array(63));
  const weak = noteOf(`${ORIGIN}\n${lines}\n`, ORIGIN, concat([1], SMALL_ORDER[0]), nobody);
  await assertFails(encode({ ...bundle, checkpoint: weak.bytes }), 'checkpoint', { vkey: weak.vkey, says: /anybody/ });
  // Signatures of other keys, such as witnesses', are passed over; a wrong one of the log's is not.
  const own = note(`${ORIGIN}\n${lines}\n`);
  const line = (text) => text.slice(text.lastIndexOf('—'));
  const [first, second] = [own.bytes, note('x\n', 77).bytes].map((made) => new TextDecoder().decode(made));
  const report = await check(encode({ ...bundle, checkpoint: utf8(first + line(second)) }), own.vkey);
  assert.ok(report.passed, JSON.stringify(report.checks));
  const wrong = utf8(first + line(new TextDecoder().decode(note('x\n').bytes)));
  await assertFails(encode({ ...bundle, checkpoint: wrong }), 'checkpoint', { vkey: own.vkey, says: /wrong/ });
});

test('a signature must be by a key that an earlier entry registers', async () => {
  await Log.packed().add(3, 'scan', {}, { units: ['u'], around: ['c', 'p'] }).assertFails('signatures', { index: 9 });
  // The registration comes too late.
  await Log.packed()
    .add(3, 'scan', {}, { units: ['u'], around: ['c', 'p'] })
    .add(3, 'registerParty', { key: publicKey(3) })
    .assertFails('signatures', { index: 9 });
  // A registration is signed by its own key; a key is not its own witness elsewhere.
  await Log.packed().add(2, 'registerParty', { key: publicKey(3) }).assertFails('signatures');
  await Log.packed().add(3, 'delegate', { key: publicKey(3) }).assertFails('signatures');
  await Log.packed().add(3, 'genesis', { regulatorKeys: [publicKey(3)] }).assertFails('signatures');
  // The record names a registered key, and another one signed.
  await Log.packed().add(3, 'hold', { scope: {} }, { keyId: keyId(publicKey(2)) }).assertFails('signatures');
  for (const kind of ['addKey', 'rotateKey', 'delegate']) {
    const log = Log.packed().add(2, kind, { key: publicKey(3) });
    await log.add(3, 'scan', {}, { units: ['u'], around: ['c', 'p'] }).assertPasses();
  }
});

test('a buyer’s key counts from a handover that joined a chain', async () => {
  const handover = (options) => Log.packed()
    .add(2, 'handover', { to: 'x', buyer: publicKey(3) }, { units: ['p'], ...options })
    .add(3, 'confirm', {}, { units: ['u'], around: ['c', 'p'] });
  await handover({}).assertPasses();
  await handover({ beside: [0, 1] }).assertFails('signatures', { index: 10 });
});

test('a change of a signed byte is found though the tree holds it', async () => {
  const change = async (make) => {
    const log = Log.packed();
    const entry = wire.decode('Entry', log.leaves[8]);
    make(entry.envelope);
    log.leaves[8] = wire.encode('Entry', entry);
    await log.assertFails('signatures', { index: 8 });
  };
  await change((envelope) => { envelope.signature[40] ^= 1; });
  await change((envelope) => { envelope.signature = envelope.signature.slice(1); });
  await change((envelope) => {
    const record = wire.decode('Record', envelope.payload);
    record.claimedTimeMs += 1n;
    envelope.payload = wire.encode('Record', record);
  });
});

test('a chain has no gap, and stands beside it only what is said to', async () => {
  const scan = (log, options) => log.add(2, 'scan', {}, { units: ['u'], around: ['c', 'p'], ...options });
  // Two records that name one prev.
  const stale = Log.packed();
  const before = new Map(stale.heads);
  scan(stale);
  stale.heads = before;
  await scan(stale).assertFails('chain', { index: 10 });
  // The same, if the first of them stands beside the chain.
  await scan(scan(Log.packed(), { beside: [0, 1] })).assertPasses();
  await scan(scan(Log.packed(), { beside: [1, 7] })).assertFails('chain', { index: 10 });
  // A first record that names one before it, and one that names none though there is one.
  await scan(Log.packed(), { units: [], around: [] }).assertPasses();
  const none = Log.packed();
  none.heads.delete('u');
  await scan(none).assertFails('chain');
});

test('what became of a container while the unit was inside can’t be left out', async () => {
  const log = Log.packed();
  for (const missing of [3, 4, 5, 6, 7]) {
    const { bytes, vkey } = log.seal({ keep: (index) => index !== missing });
    await assertFails(bytes, 'chain', { vkey });
  }
  // The same, if the case was on the pallet before the unit was in the case.
  const later = new Log()
    .add(1, 'genesis', { regulatorKeys: [publicKey(1)] })
    .add(2, 'registerParty', { key: publicKey(2) })
    .add(2, 'commission', {}, { units: ['u', 'c', 'p'] })
    .add(2, 'pack', { container: 'p' }, { units: ['c'] })
    .add(2, 'pack', { container: 'c' }, { units: ['u'], around: ['p'] })
    .add(2, 'scan', {}, { units: ['p'] })
    .add(2, 'scan', {}, { units: ['u'], around: ['c', 'p'] });
  assert.equal((await later.assertPasses()).checks.at(-1).data.containers, 2);
  const cut = later.seal({ keep: (index) => index !== 5 });
  await assertFails(cut.bytes, 'chain', { vkey: cut.vkey, index: 6 });
  // The unit's record names the heads of the containers around it.
  await Log.packed().add(2, 'scan', {}, { units: ['u'] }).assertFails('chain', { says: /which u is in/ });
  await Log.packed().add(2, 'scan', {}, { units: ['u'], around: ['c'] }).assertFails('chain');
  // When it has left them it doesn't.
  await Log.packed()
    .add(2, 'unpack', { container: 'c' }, { units: ['u'], around: ['p'] })
    .add(2, 'scan', {}, { units: ['u'] })
    .assertPasses();
  await Log.packed()
    .add(2, 'return', {}, { units: ['u'], around: ['c', 'p'] })
    .add(2, 'scan', {}, { units: ['u'] })
    .assertPasses();
});

test('the output of a transformation begins a chain', async () => {
  const log = () => Log.packed().add(2, 'commission', {}, { units: ['in'] });
  const made = log().add(2, 'transform', { outputs: ['out'] }, { units: ['in'] });
  const { bytes, vkey } = seal('out', made.leaves);
  const report = await check(bytes, vkey);
  assert.ok(report.passed, JSON.stringify(report.checks));
  assert.deepEqual(report.checks.at(-1).data, { records: 1, containers: 0 });
  // It can't be made of what is there already.
  await log().add(2, 'transform', { outputs: ['u'] }, { units: ['in'] }).assertFails('chain');
});

test('a record that the ledger can’t have taken is no entry', async () => {
  const bad = [
    { origin: 'other.example/ledger' },
    { suite: 2 },
    { format: 2 },
    { nonce: new Uint8Array(15) },
    { keyId: new Uint8Array(15) },
    { refs: [{ id: 'u', prev: new Uint8Array(31) }] },
    { refs: [{ id: 'u' }, { id: 'u' }] },
    { refs: Array.from({ length: 513 }, (_, i) => ({ id: `${i}` })) },
    { body: { case: undefined } },
    { body: { case: 'pack', value: {} } },
    { body: { case: 'approveParty', value: {} }, units: ['u'] },
    { entry: { format: 2 } },
    { entry: { envelope: undefined } },
    { place: { city: 'x'.repeat(50_000) } },
  ];
  for (const options of bad) await Log.packed().add(2, 'scan', {}, options).assertFails('format', { index: 9 });
});

// --- Ed25519 ------------------------------------------------------------------------------------

/** What ZIP 215 says to the cases of "Taming the many EdDSAs"; the same list as in Rust. */
const SPECCHECK = [true, true, true, true, true, true, false, false, false, true, true, true];

test('the speccheck cases are answered as ZIP 215 says', (t) => {
  const file = join(process.env.CUSTODY_SHARED ?? '', 'data/ed25519/speccheck-cases.json');
  if (!process.env.CUSTODY_SHARED || !existsSync(file)) {
    console.log('SKIPPED: the speccheck cases are not there; set CUSTODY_SHARED');
    t.skip('no speccheck cases');
    return;
  }
  const cases = JSON.parse(readFileSync(file, 'utf8'));
  assert.equal(cases.length, SPECCHECK.length);
  const answers = cases.map((vector) =>
    accepts(unhex(vector.pub_key), unhex(vector.message), unhex(vector.signature)));
  assert.deepEqual(answers, SPECCHECK);
});

test('a signature is accepted only whole, by its key, over its message', () => {
  const message = utf8('message');
  const { publicKey: key } = publicKey(1);
  const signature = sign(message, secret(1));
  assert.ok(accepts(key, message, signature));
  for (let bit = 0; bit < 512; bit += 5) {
    const changed = signature.slice();
    changed[bit >> 3] ^= 1 << bit % 8;
    assert.equal(accepts(key, message, changed), false, `bit ${bit}`);
  }
  assert.equal(accepts(key, utf8('massage'), signature), false);
  assert.equal(accepts(key.slice(1), message, signature), false);
  assert.equal(accepts(key, message, signature.slice(1)), false);
});

/** The points of small order in every encoding: 8 canonical, 6 that are not. */
const SMALL_ORDER = [
  `01${'00'.repeat(31)}`, `01${'00'.repeat(30)}80`,
  `ec${'ff'.repeat(30)}7f`, `ec${'ff'.repeat(31)}`,
  '00'.repeat(32), `${'00'.repeat(31)}80`,
  `ed${'ff'.repeat(30)}7f`, `ed${'ff'.repeat(31)}`,
  `ee${'ff'.repeat(30)}7f`, `ee${'ff'.repeat(31)}`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
].map(unhex);

test('a key of small order, or with a second encoding, is not registered', async () => {
  assert.equal(SMALL_ORDER.length, 14);
  for (const key of SMALL_ORDER) assert.equal(mayRegister(key), false, hex(key));
  for (let n = 0; n < 19; n += 1) {
    for (const sign of [0x7f, 0xff]) {
      const key = new Uint8Array(32).fill(0xff);
      [key[0], key[31]] = [0xed + n, sign];
      assert.equal(mayRegister(key), false, hex(key));
    }
  }
  for (let seed = 1; seed < 20; seed += 1) assert.ok(mayRegister(publicKey(seed).publicKey));
  assert.equal(mayRegister(publicKey(1).publicKey.slice(1)), false);
  for (const key of [{ suite: 1, publicKey: SMALL_ORDER[0] }, { ...publicKey(3), suite: 2 }, undefined]) {
    await Log.packed().add(2, 'delegate', { key }).assertFails('signatures', { index: 9 });
  }
});
