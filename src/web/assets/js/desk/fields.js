// What a form says, as the JSON of a record's body (the protobuf mapping). Pure, but for the digests of files.

import { sha256 } from '../../vendor/ed25519.js';

export const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
export const fromHex = (text) => Uint8Array.from(text.match(/[0-9a-f]{2}/gi) ?? [], (pair) => parseInt(pair, 16));

/** A SHA-256 as the proto has digests. */
export const digest = (bytes) => ({ algorithm: 'DIGEST_ALGORITHM_SHA256', value: base64(sha256(bytes)) });

const READ = {
  text: (value) => value,
  number: (value) => Number(value),
  numbers: (value) => value.split(/[\s,，、]+/).filter(Boolean),
  lines: (value) => value.split('\n').map((line) => line.trim()).filter(Boolean),
  list: (value) => [value],
  json: (value) => JSON.parse(value),
  'month-day': (value) => Number(value.replaceAll('-', '')),
  'bytes-hex': (value) => base64(fromHex(value)),
};

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

function put(body, path, value) {
  if (!path) return Object.assign(body, value);
  const names = path.split('.');
  const last = names.pop();
  let at = body;
  for (const name of names) {
    at[name] ??= {};
    if (!isObject(at[name])) throw new Error(`${path}: ${name} holds a value already`);
    at = at[name];
  }
  if (at[last] === undefined) at[last] = value;
  else if (Array.isArray(at[last]) && Array.isArray(value)) at[last].push(...value);
  else throw new Error(`${path} is given twice`);
  return body;
}

/**
 * The body that fields describe. A field is `{ path, as, value }`; a file's value is its bytes. What is empty is
 * left out.
 */
export function bodyOf(fields) {
  const body = {};
  for (const { path, as = 'text', value } of fields) {
    if (as === 'digest') {
      if (value) put(body, path, digest(value));
      continue;
    }
    const text = value.trim();
    if (!text) continue;
    if (!READ[as]) throw new Error(`${path}: there is no way to read ${as}`);
    const read = READ[as](text);
    if (!Array.isArray(read) || read.length) put(body, path, read);
  }
  return body;
}

/** The same as lines that people can compare: path and value. */
export function linesOf(body, path = '') {
  return Object.entries(body).flatMap(([name, value]) => {
    const here = path ? `${path}.${name}` : name;
    if (isObject(value)) return linesOf(value, here);
    if (Array.isArray(value)) {
      if (value.some(isObject)) return value.flatMap((one, i) => linesOf(one, `${here}[${i}]`));
      return [[here, value.join(', ')]];
    }
    return [[here, String(value)]];
  });
}
