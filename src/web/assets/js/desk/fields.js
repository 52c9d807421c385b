// What a form says, as the JSON of a record's body (the protobuf mapping). Pure, but for the digests of files.

import { sha256 } from '../../vendor/ed25519.js';
import { Wrong } from '../scan/lang.js';

export const base64 = (bytes) => btoa(String.fromCharCode(...bytes));

function fromHex(text) {
  if (!/^([0-9a-f]{2})+$/i.test(text)) throw new Wrong(`“${text}”不是十六进制数。`, `“${text}” is no hexadecimal number.`);
  return Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
}

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
  'kept-secret': (value) => base64(fromHex(value)),
  // A moment in the time zone of who typed it.
  ms: (value) => String(new Date(value).getTime()),
};

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

function merge(into, name, value) {
  const there = into[name];
  if (there === undefined) into[name] = value;
  else if (Array.isArray(there) && Array.isArray(value)) there.push(...value);
  else if (isObject(there) && isObject(value)) for (const key of Object.keys(value)) merge(there, key, value[key]);
  else throw new Error(`${name} is given twice`);
}

/** Puts a value at a path. Lists and objects that meet become one; an object without a path is put at the root. */
export function put(body, path, value) {
  const nested = (path ? path.split('.') : []).reduceRight((inner, name) => ({ [name]: inner }), value);
  if (!isObject(nested)) throw new Error('a value needs a path');
  for (const name of Object.keys(nested)) merge(body, name, nested[name]);
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
