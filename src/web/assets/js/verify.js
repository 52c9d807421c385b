// Verifies a unit bundle (UnitBundle in entry.proto), trusting nothing but the log's key. The checks
// stand below in their order:
//
//   format      the bytes are one undamaged bundle of one ledger
//   checkpoint  the trusted log signed the size and root of its tree
//   inclusion   every entry of the bundle is in that tree
//   signatures  every record is signed by a key that an earlier entry registers
//   chain       each record of the unit names the one before it: none was dropped or put in
//
// It doesn't run the ledger's rules again, as `custody verify` does: see NOT_CHECKED.
// Standards: RFC 9162 (Merkle tree), C2SP signed-note and tlog-checkpoint, DSSE v1 (what is signed),
// ZIP 215 (which Ed25519 signatures are valid).
import { sha256, verify } from '../vendor/ed25519.js';

/** What a pass doesn't prove; all but the last two is what `custody verify` checks beyond this. */
export const NOT_CHECKED = Object.freeze([
  { name: 'verdicts', detail: 'Findings, and what stands beside the chain, are taken as the log has them.' },
  { name: 'authority', detail: 'Whether a signer was approved, had the role and held the goods is not judged.' },
  { name: 'revocations', detail: 'Whether a key had expired, been rotated or been revoked is not judged.' },
  { name: 'consents', detail: 'Proofs of possession of new keys and consents to returns are not checked.' },
  { name: 'fields', detail: 'What no check here uses, such as check digits of identifiers, is not checked.' },
  { name: 'completeness', detail: 'A last record, a revocation or a recall that was left out would not show.' },
  { name: 'time', detail: 'That the ledger’s clock was right is the operator’s claim.' },
]);

const MAX_BUNDLE_BYTES = 64 * 1024 * 1024;
const MAX_ENVELOPE_BYTES = 49_152;
const MAX_NOTE_BYTES = 1 << 20;
const MAX_SIGNATURE_LINE_BYTES = 16 << 10;
const MAX_NOTE_SIGNATURES = 16;
const MAX_UNITS = 512;
const MAX_NESTING = 8;
const SUITE = 1; // Ed25519 with SHA-256, the only suite
const RECORD_TYPE = 'application/vnd.custody.record.v1+protobuf';
/** The kinds of records of which units have chains; the others name no units. */
const CUSTODY = new Set(('commission inspect pack unpack handover void accept refuse scan deliver confirm '
  + 'reject return transform hold release recall destroy correct').split(' '));
const CHECKS = Object.entries({ format, checkpoint, inclusion, signatures, chain });

/**
 * Makes the checks; after the first that fails, no more are made. What is thrown is a failed check.
 * `wire` is that of wire.js, `vkey` the log's verifier key; `onCheck` is told of each check.
 */
export async function verifyBundle(bytes, { wire, vkey, onCheck }) {
  const state = { bytes, wire, vkey, unit: null, origin: null, size: 0n };
  const checks = [];
  let passed = true;
  for (const [name, make] of CHECKS) {
    const check = await make(state).then(
      (pass) => ({ name, passed: true, ...pass }),
      (error) => ({ name, passed: false, detail: sentence(error), data: error?.data ?? {} }),
    );
    checks.push(check);
    onCheck?.(check);
    passed = check.passed;
    if (!passed) break;
    await pause();
  }
  return { passed, checks, logSize: Number(state.size), unit: state.unit, origin: state.origin };
}

async function format(state) {
  const { bytes, wire } = state;
  must(bytes.length <= MAX_BUNDLE_BYTES, 'The bundle is too large.');
  const bundle = wire.decode('UnitBundle', bytes);
  must(bundle.format === 1, `Bundle format ${bundle.format} is not known here.`);
  // This library and the ledger's both write fields by ascending number and leave out what is empty:
  // a bundle encodes to its own bytes again, unless something was put in that nothing proves.
  must(equal(wire.encode('UnitBundle', bundle), bytes), 'There are bytes that are no part of the bundle.');
  // So the digest comes last: tag and length, one byte each, and 32 bytes.
  must(bundle.digest.length === 32, 'The bundle has no digest.');
  must(equal(bundle.digest, sha256(bytes.subarray(0, -34))), 'The bundle is damaged: its digest differs.');
  must(bundle.unit !== '' && bundle.entries.length > 0, 'The bundle is empty.');
  let last = -1n;
  const entries = bundle.entries.map((proven) => at(proven, () => {
    must(proven.index > last, 'it is out of order.');
    last = proven.index;
    return { ...proven, ...readEntry(wire, proven.entry, bundle.origin) };
  }));
  const { unit, origin, checkpoint: note } = bundle;
  Object.assign(state, { unit, origin, note, entries });
  const data = { entries: entries.length, bytes: bytes.length };
  return { detail: `An undamaged bundle of ${unit} in the ledger ${origin}.`, data };
}

function readEntry(wire, bytes, origin) {
  const { format, envelope, verdict } = wire.decode('Entry', bytes);
  must(format === 1, `entry format ${format} is not known here.`);
  must(envelope?.payload.length > 0, 'it holds no record.');
  must(wire.encode('Envelope', envelope).length <= MAX_ENVELOPE_BYTES, 'its envelope is too large.');
  const record = wire.decode('Record', envelope.payload);
  must(record.format === 1, `record format ${record.format} is not known here.`);
  must(record.origin === origin, 'its record is for another ledger.');
  must(record.suite === SUITE, `signature suite ${record.suite} is not known here.`);
  must(record.keyId.length === 16 && record.nonce.length === 16, 'its record has no key id or no nonce.');
  must(equal(record.keyId, envelope.keyId), 'the envelope and the record name two keys.');
  const { case: kind, value } = record.body;
  must(kind !== undefined, 'its record says nothing.');
  must(CUSTODY.has(kind) || record.units.length === 0, 'a record of its kind names no units.');
  // In the order by which verdicts number them (entry.proto, Finding.subjects).
  const container = kind === 'pack' || kind === 'unpack' ? [value.container] : [];
  const outputs = kind === 'transform' ? value.outputs.map((id) => ({ id, prev: new Uint8Array() })) : [];
  const subjects = [...record.units, ...container, ...outputs];
  must(new Set(subjects.map(({ id }) => id)).size === subjects.length, 'it names a unit twice.');
  must(subjects.length <= MAX_UNITS, 'it names too many units.');
  must(subjects.every(({ prev }) => [0, 32].includes(prev.length)), 'it names a prev that is no record id.');
  // The rest stands beside the chain, as evidence: `beside` holds pairs (first, count).
  const isBeside = (number) => verdict?.beside.some((first, i, pairs) =>
    i % 2 === 0 && number >= first && number < first + (pairs[i + 1] ?? 0));
  const joined = subjects.filter((_, number) => !isBeside(number));
  // DSSE v1, "PAE". The record id is the hash of what is signed, so that no other framing and no
  // other signature make another record of it.
  const { payload, signature } = envelope;
  const signed = concat(utf8(`DSSEv1 ${RECORD_TYPE.length} ${RECORD_TYPE} ${payload.length} `), payload);
  const id = hex(sha256(signed));
  return { id, signed, signature, record, kind, body: value, container: container[0]?.id, subjects, joined };
}

/** C2SP tlog-checkpoint: a note of the lines origin, size, root, and perhaps extensions. */
async function checkpoint(state) {
  const text = openNote(state.note, readVerifierKey(state.vkey));
  const [origin, size, encoded, ...extensions] = text.slice(0, -1).split('\n');
  const root = base64(encoded);
  must(origin === state.origin, `The checkpoint is of the log ${origin}, not of ${state.origin}.`);
  must(/^(0|[1-9][0-9]{0,19})$/.test(size) && BigInt(size) < 1n << 64n, 'The checkpoint has no proper size.');
  must(root?.length === 32, 'The checkpoint has no proper root.');
  must(!extensions.includes(''), 'The checkpoint has an empty line.');
  Object.assign(state, { root, size: BigInt(size) });
  return { detail: `The log ${origin} signed its tree of ${size} entries.`, data: { size: Number(size) } };
}

/** C2SP signed-note: the text of a note, once the key is found to have signed it. */
function openNote(bytes, key) {
  must(bytes.length <= MAX_NOTE_BYTES, 'The checkpoint is too long.');
  const note = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  must(!/[\x00-\x09\x0b-\x1f]/.test(note), 'The checkpoint has a control character.');
  // The last empty line ends the text; the newline before it belongs to the text.
  const end = note.lastIndexOf('\n\n') + 1;
  must(end > 0 && note.endsWith('\n') && note.length > end + 1, 'The checkpoint is not a signed note.');
  const text = note.slice(0, end);
  const lines = note.slice(end + 1, -1).split('\n');
  must(lines.length <= MAX_NOTE_SIGNATURES, 'The checkpoint has too many signatures.');
  const isOurs = lines.map((line) => {
    const [, name, encoded] = /^— ([^ ]+) (.*)$/.exec(line) ?? [];
    const signature = base64(encoded);
    const isLine = isKeyName(name) && signature?.length > 4 && utf8(line).length <= MAX_SIGNATURE_LINE_BYTES;
    must(isLine, 'A signature line of the checkpoint is malformed.');
    // Signatures of other keys, such as witnesses', are passed over; a wrong one of this key is not.
    if (name !== key.name || !equal(signature.subarray(0, 4), key.id)) return false;
    must(accepts(key.publicKey, utf8(text), signature.subarray(4)), 'The log’s signature is wrong.');
    return true;
  });
  must(isOurs.includes(true), 'The checkpoint is not signed by the log that is trusted.');
  return text;
}

/** C2SP signed-note, "Verifier keys": name, first 4 bytes of a hash, type and key in Base64. */
function readVerifierKey(vkey) {
  const [, name, id, encoded] = /^([^+]+)\+([0-9a-f]{8})\+(.*)$/.exec(vkey.trim()) ?? [];
  const typed = base64(encoded);
  // Type 1 is the Ed25519 key of a log.
  must(isKeyName(name) && typed?.length === 33 && typed[0] === 1, 'The log’s verifier key can’t be read.');
  const hash = sha256(concat(utf8(`${name}\n`), typed)).subarray(0, 4);
  must(hex(hash) === id, 'The log’s verifier key has the id of another one.');
  must(!isSmallOrder(typed.subarray(1)), 'Under the log’s verifier key anybody could sign.');
  return { name, id: hash, publicKey: typed.subarray(1) };
}

function isKeyName(name) {
  return name !== undefined && !/[\p{White_Space}\x00-\x1f+]/u.test(name) && utf8(name).length <= 4096;
}

async function inclusion({ entries, size, root }) {
  for (const entry of entries) at(entry, () => verifyInclusion(entry, size, root));
  const data = { entries: entries.length, size: Number(size) };
  return { detail: `All ${data.entries} entries are in the tree.`, data };
}

/** RFC 9162, section 2.1.3.2; `fn` and `sn` are its names. */
function verifyInclusion({ index, entry, proof }, size, root) {
  must(index < size, `it is not in a log of ${size} entries.`);
  let [fn, sn] = [index, size - 1n];
  // Section 2.1.1: the first byte tells leaf (0) from node (1), so that neither passes for the other.
  let hash = sha256(concat([0], entry));
  for (const sibling of proof) {
    must(sibling.length === 32 && sn > 0n, 'its proof has another length than it must have.');
    if (fn % 2n === 1n || fn === sn) {
      hash = sha256(concat([1], sibling, hash));
      // The last node of a level that has no sibling is its own parent.
      while (fn % 2n === 0n && fn > 0n) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else {
      hash = sha256(concat([1], hash, sibling));
    }
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  must(sn === 0n && equal(hash, root), 'its proof doesn’t lead to the root of the tree.');
}

async function signatures({ entries }) {
  const known = new Map(); // key id → public key, of the entries so far
  for (const [number, entry] of entries.entries()) {
    at(entry, () => {
      const { kind, record, signed, signature } = entry;
      must((kind === 'genesis') === (number === 0), 'the genesis record, and no other, comes first.');
      const registered = new Map(registeredKeys(entry).map(readKey));
      // The first record and registrations are signed by a key that they bring along.
      const signers = kind === 'genesis' || kind === 'registerParty' ? registered : known;
      const key = signers.get(hex(record.keyId));
      must(key, 'no entry before it registers its key.');
      must(accepts(key, signed, signature), 'the signature is not the key’s over these bytes.');
      for (const [id, publicKey] of registered) if (!known.has(id)) known.set(id, publicKey);
    });
    if (number % 32 === 31) await pause();
  }
  const data = { records: entries.length, keys: known.size };
  return { detail: `All ${data.records} records are signed by keys that the bundle registers.`, data };
}

/** The keys that may sign after this entry. */
function registeredKeys({ kind, body, joined }) {
  if (kind === 'genesis') return body.regulatorKeys;
  if (['registerParty', 'addKey', 'rotateKey', 'delegate'].includes(kind)) return [body.key];
  // The seller names the buyer's key; a handover that is beside every chain has no effect.
  return kind === 'handover' && body.buyer && joined.length > 0 ? [body.buyer] : [];
}

/** A key with its id. The ledger registers only such as pass `mayRegister`. */
function readKey({ suite, publicKey }) {
  must(suite === SUITE && mayRegister(publicKey), 'it registers a key that may not be registered.');
  return [hex(sha256(concat([suite], publicKey)).subarray(0, 16)), publicKey];
}

/** ZIP 215, which gives one answer for a signature alone and in a batch. */
export function accepts(publicKey, message, signature) {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  return verify(signature, message, publicKey, { zip215: true });
}

/** ZIP 215 lets keys through under which one signature fits many messages, or that have two ids. */
export function mayRegister(key) {
  // RFC 8032, section 5.1.2: y is below p = 2^255 - 19; the top bit is the sign of x.
  const isBelowP = key[0] < 0xed || key.subarray(1, 31).some((byte) => byte < 0xff) || (key[31] & 0x7f) < 0x7f;
  return key.length === 32 && isBelowP && !isSmallOrder(key);
}

/** With R the neutral element and S = 0, the equation of ZIP 215 is 0 = [8][k]A. */
function isSmallOrder(key) {
  return accepts(key, new Uint8Array(), Uint8Array.of(1, ...new Uint8Array(63)));
}

async function chain({ entries, unit }) {
  must(entries.some((entry) => entry.subjects.some(({ id }) => id === unit)), `No entry is about ${unit}.`);
  const chained = withContainers(entries, unit);
  const heads = new Map(); // unit → id of the last record in its chain
  const inside = new Map(); // unit → the container that it is in
  const isHead = ({ id, prev }) => hex(prev) === (heads.get(id) ?? '');
  let records = 0;
  for (const entry of entries) {
    const { kind, record, body, container } = entry;
    const joined = entry.joined.filter(({ id }) => chained.has(id));
    at(entry, () => joined.forEach((subject) => {
      must(isHead(subject), `it doesn’t follow the last record of ${subject.id}.`);
      // What happens to a container happens to what is in it: the heads of those around are named too.
      const named = container ? [...record.containers, body.container] : record.containers;
      let around = inside.get(subject.id);
      for (let depth = 0; around && depth < MAX_NESTING; depth += 1, around = inside.get(around)) {
        const follows = named.some((other) => other.id === around && isHead(other));
        must(follows, `it doesn’t follow the last record of ${around}, which ${subject.id} is in.`);
      }
    }));
    for (const { id } of joined) {
      heads.set(id, entry.id);
      if (id === unit) records += 1;
      if (kind === 'pack' && id !== container) inside.set(id, container);
      // A buyer who gives a unit back takes it out of what it came in.
      if ((kind === 'unpack' && id !== container) || kind === 'return') inside.delete(id);
    }
  }
  const data = { records, containers: chained.size - 1 };
  return { detail: `${records} records, none dropped, put in or reordered between them.`, data };
}

/** The unit, the containers that it was ever packed into, what these were packed into, and so on. */
function withContainers(entries, unit) {
  const packs = entries.filter(({ kind }) => kind === 'pack');
  const found = new Set([unit]);
  for (let before = 0; before < found.size;) {
    before = found.size;
    for (const { container, joined } of packs) {
      if (joined.some(({ id }) => id !== container && found.has(id))) found.add(container);
    }
  }
  return found;
}

/** What is wrong with a bundle, in a sentence; `data.index` says at which entry. */
class Refused extends Error {}

function must(condition, message) {
  if (!condition) throw new Refused(message);
}

/** Makes a step of a check; if it fails, says at which entry. */
function at({ index }, step) {
  try {
    return step();
  } catch (error) {
    const what = error instanceof Refused ? error.message : 'it can’t be read.';
    throw Object.assign(new Refused(`Entry ${index}: ${what}`), { data: { index: Number(index) } });
  }
}

const sentence = (error) => (error instanceof Refused ? error.message : 'This is no unit bundle.');
/** Lets the page paint. */
const pause = () => new Promise((resolve) => setTimeout(resolve));
const utf8 = (text) => new TextEncoder().encode(text);
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
const equal = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);
const concat = (...parts) => {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  parts.reduce((end, part) => (bytes.set(part, end), end + part.length), 0);
  return bytes;
};

/** Standard Base64 in its one canonical form (RFC 4648, section 4); undefined for all else. */
function base64(text) {
  try {
    const binary = atob(text);
    return btoa(binary) === text ? Uint8Array.from(binary, (char) => char.charCodeAt(0)) : undefined;
  } catch {
    return undefined;
  }
}
