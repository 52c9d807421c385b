// Reads what a scanner delivers: which unit it names, in the canonical text that records hold. What names no
// unit is an error that is said at once, and never becomes a record. (src/core/id has the same rules.)

import { Wrong } from './lang.js';

const GS = '\u001d';
const SERIAL = /^[!"%-?A-Z_a-z]{1,20}$/;
const WAYBILL = /^([a-z0-9_]{2,16}):([A-Z0-9]{4,40})$/;
const LONGEST = 2048;

const unreadable = () => new Wrong('无法识别的编码，请重扫。', 'This code can’t be read; scan again.');

/** GS1 General Specifications 7.9: weights 3 and 1 from the right; the last digit makes the sum whole tens. */
export function checksOut(digits) {
  let sum = 0;
  for (let place = 0; place < digits.length; place += 1) {
    sum += Number(digits[digits.length - 1 - place]) * (place % 2 ? 3 : 1);
  }
  return sum % 10 === 0;
}

function item(gtin, serial) {
  if (!/^[0-9]{14}$/.test(gtin) || !checksOut(gtin)) {
    throw new Wrong('商品编码（GTIN）校验位不符，请重扫。', 'The check digit of the GTIN is wrong; scan again.');
  }
  if (!serial) {
    throw new Wrong('该码没有序列号，只表示品种，不能逐件追溯。', 'This code has no serial: it names a product, not one unit.');
  }
  if (!SERIAL.test(serial)) throw new Wrong('序列号含有不允许的字符。', 'The serial has characters that are not allowed.');
  return `01/${gtin}/21/${serial}`;
}

function logistic(sscc) {
  if (!/^[0-9]{18}$/.test(sscc) || !checksOut(sscc)) {
    throw new Wrong('物流单元码（SSCC）校验位不符，请重扫。', 'The check digit of the SSCC is wrong; scan again.');
  }
  return `00/${sscc}`;
}

function drug(code) {
  if (!/^8[0-9]{19}$/.test(code)) throw new Wrong('药品追溯码应为 8 开头的 20 位数字。', 'A drug code has 20 digits and begins with 8.');
  return `drug/${code}`;
}

function waybill(text) {
  const cut = text.indexOf(':');
  const number = text.slice(cut + 1).replace(/[\s-]/g, '').toUpperCase();
  const [, carrier] = WAYBILL.exec(`${text.slice(0, cut).trim().toLowerCase()}:${number}`) ?? [];
  if (!carrier || ['uscc', 'gln', 'urn', 'http', 'https'].includes(carrier)) throw unreadable();
  return `waybill/${carrier}:${number}`;
}

/** What the application identifiers say, by number; a key is an SSCC (00), or a GTIN (01) with a serial (21). */
function unitOf(elements) {
  if (elements.has('00') && elements.has('01')) throw unreadable();
  if (elements.has('00')) return logistic(elements.get('00'));
  if (elements.has('01')) return item(elements.get('01'), elements.get('21'));
  throw unreadable();
}

function put(elements, ai, value) {
  if (elements.has(ai)) throw unreadable();
  elements.set(ai, value);
}

/** `(01)…(21)…`; a bracket of a value that looks like an identifier is written `\(`. */
export function bracketed(text) {
  const elements = new Map();
  const parts = text.replaceAll('\\(', '\u0000').split(/\(([0-9]{2,4})\)/);
  if (parts[0] !== '') throw unreadable();
  for (let i = 1; i < parts.length; i += 2) put(elements, parts[i], parts[i + 1].replaceAll('\u0000', '('));
  return elements;
}

// GS1 General Specifications 7.8: identifiers whose values have a fixed length and end without FNC1.
const FIXED = { '00': 18, '01': 14, '02': 14, '03': 14, '04': 16, 20: 2, 41: 13 };
for (let ai = 11; ai <= 19; ai += 1) FIXED[ai] = 6;
for (let ai = 31; ai <= 36; ai += 1) FIXED[ai] = 6;

function lengthOfIdentifier(text) {
  if (/^(3[1-69]|7[02-9]|8)/.test(text)) return 4;
  if (/^(2[3-5]|4|71)/.test(text)) return 3;
  return 2;
}

/** The same without brackets, as a barcode holds it: values without a fixed length end with FNC1. */
export function unbracketed(text) {
  const elements = new Map();
  let rest = text;
  while (rest) {
    const ai = rest.slice(0, lengthOfIdentifier(rest));
    if (!/^[0-9]{2,4}$/.test(ai)) throw unreadable();
    rest = rest.slice(ai.length);
    const fixed = FIXED[ai.slice(0, 2)];
    const found = rest.indexOf(GS);
    const end = fixed ?? (found < 0 ? rest.length : found);
    if (end === 0 || rest.length < end) throw unreadable();
    put(elements, ai, rest.slice(0, end));
    rest = rest.slice(end);
    if (rest.startsWith(GS)) rest = rest.slice(1);
  }
  return elements;
}

function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw unreadable();
  }
}

/** GS1 Digital Link: names and values alternate, so that a name is in an even place from the end. */
function link(text) {
  const [, path] = /^https?:\/\/[^/?#]+\/([^?#]*)/i.exec(text) ?? [];
  if (path === undefined) throw unreadable();
  const segments = path.replace(/\/$/, '').split('/');
  for (let i = segments.length - 2; i >= 0; i -= 2) {
    const [name, value] = [segments[i], decoded(segments[i + 1])];
    const qualifiers = segments.slice(i + 2);
    if (name === '01') return item(padded(value), qualified(qualifiers));
    if (!['00', 'waybill', 'drug'].includes(name)) continue;
    if (qualifiers.length) throw unreadable();
    return { '00': logistic, waybill, drug }[name](value);
  }
  throw unreadable();
}

const padded = (gtin) => ([8, 12, 13].includes(gtin.length) ? gtin.padStart(14, '0') : gtin);

/** The serial; variant (22), lot (10) and serial (21) come in this order. */
function qualified(segments) {
  const order = ['22', '10', '21'];
  let next = 0;
  let serial;
  for (let i = 0; i < segments.length; i += 2) {
    const place = order.indexOf(segments[i], next);
    if (place < 0) throw unreadable();
    next = place + 1;
    if (segments[i] === '21') serial = decoded(segments[i + 1]);
  }
  return serial;
}

function urn(text) {
  const [, scheme, prefix, reference, serial] = /^urn:epc:id:(sgtin|sscc):([0-9]{6,12})\.([0-9]+)(?:\.(.+))?$/.exec(text) ?? [];
  if (!scheme) throw unreadable();
  const body = reference[0] + prefix + reference.slice(1);
  const whole = [...'0123456789'].map((digit) => body + digit).find(checksOut);
  return scheme === 'sgtin' ? item(whole, decoded(serial ?? '')) : logistic(whole);
}

/** A number as labels print it without its carrier; the EAN on a Chinese product is none. */
function isBareWaybill(text) {
  const isProduct = /^69[0-9]{11}$/.test(text) && checksOut(text);
  return /^[A-Za-z0-9]{8,40}$/.test(text) && /[0-9]{6}/.test(text) && !isProduct;
}

/**
 * The unit that a scanned or typed text names.
 * @param {string} scanned
 * @param {{carrier?: string}} [options] `carrier` is whose number a bare waybill number is
 * @returns {string} its canonical id
 */
export function readUnit(scanned, { carrier } = {}) {
  // Symbology identifiers (]C1, ]d2, ]Q3, ]e0) and FNC1 in front name nothing.
  const text = scanned.trim().replace(/^\][A-Za-z][0-9]/, '').replace(/^\u001d/, '').replace(/\u001d$/, '');
  if (!text || text.length > LONGEST) throw unreadable();
  if (/^urn:/i.test(text)) return urn(text);
  if (/^https?:\/\//i.test(text)) return link(text);
  if (text.startsWith('(')) return unitOf(bracketed(text));
  const [, gtin, serial] = /^01\/([^/]*)\/21\/(.*)$/.exec(text) ?? [];
  if (gtin !== undefined) return item(gtin, serial);
  if (text.startsWith('00/')) return logistic(text.slice(3));
  if (text.startsWith('drug/')) return drug(text.slice(5));
  if (text.startsWith('waybill/')) return waybill(text.slice(8));
  if (/^8[0-9]{19}$/.test(text)) return drug(text);
  if (/^0[01][0-9]{14}/.test(text)) return unitOf(unbracketed(text));
  if (text.includes(':')) return waybill(text);
  if (carrier && isBareWaybill(text.replace(/[\s-]/g, ''))) return waybill(`${carrier}:${text}`);
  throw unreadable();
}

/** A unit as people compare it: short, its end kept. */
export function brief(unit) {
  const [, gtin, serial] = /^01\/(.{14})\/21\/(.*)$/.exec(unit) ?? [];
  return gtin ? `${gtin} · ${serial}` : unit.replace(/^(00|drug|waybill)\//, '');
}

/** What a buyer shows at the door: the secret of the key, or the key's id. */
export function readBuyer(scanned) {
  const text = scanned.trim();
  const secret = /#k=([0-9A-Za-z-]{26,64})$/.exec(text)?.[1] ?? (/^[0-9A-Za-z][0-9A-Za-z -]{25,40}$/.test(text) ? text : null);
  if (/^[0-9a-f]{32}$/i.test(text)) return { id: text.toLowerCase() };
  return secret ? { secret } : null;
}

/** The code of an enrolment, from the link that shows it or as it is. */
export function readEnrolment(scanned) {
  const text = scanned.trim();
  return /#enrol=([0-9A-Za-z-]{26,64})$/.exec(text)?.[1] ?? text;
}
