// Reads and writes the messages of package custody.v1, by the descriptors that the server is built
// with: no code is generated for the browser, so the two can't drift apart.

import {
  FileDescriptorSetSchema,
  create,
  createFileRegistry,
  fromBinary,
  fromJson,
  toBinary,
} from '../vendor/protobuf.js';

const PACKAGE = 'custody.v1';

/**
 * @param {Uint8Array | string | URL} source an encoded FileDescriptorSet, or where to fetch it
 * @returns {Promise<{decode: (name: string, bytes: Uint8Array) => object,
 *                    encode: (name: string, message: object) => Uint8Array,
 *                    fromJson: (name: string, json: object) => object,
 *                    service: (name: string) => object}>}
 */
export async function wire(source = '/assets/custody.v1.binpb') {
  const bytes = source instanceof Uint8Array ? source : await fetchBytes(source);
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, bytes));
  const schema = (name) => {
    const found = registry.getMessage(`${PACKAGE}.${name}`);
    if (!found) throw new Error(`there is no message ${PACKAGE}.${name}`);
    return found;
  };
  return {
    // Unknown fields are dropped, as the server does. What is encoded again is then equal to the
    // input only if nothing else was in it: the verifier relies on that.
    decode: (name, bytes) => fromBinary(schema(name), bytes, { readUnknownFields: false }),
    encode: (name, message) =>
      toBinary(schema(name), create(schema(name), message), { writeUnknownFields: false }),
    /** A message from its JSON (the protobuf mapping); unknown fields and values are errors. */
    fromJson: (name, json) => fromJson(schema(name), json),
    /** The description of a service, for a client. */
    service: (name) => registry.getService(`${PACKAGE}.${name}`),
  };
}

async function fetchBytes(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}
