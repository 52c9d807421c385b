// A maker and a delivery firm on the ledger of the tests, set up by the program as its users would.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const { CUSTODY_PROGRAM: PROGRAM, CUSTODY_DATA: DATA } = process.env;
export const PAGES = process.env.CUSTODY_PAGES;
export const program = PROGRAM;
export const file = (name) => join(DATA, name);
export const custody = (...args) => execFileSync(PROGRAM, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** The sample goods by the word of their standing; the first of each. */
export function samples() {
  const all = new Map();
  for (const line of readFileSync(process.env.CUSTODY_SAMPLES, 'utf8').trim().split('\n')) {
    const [word, unit] = line.split(' ');
    if (!all.has(word)) all.set(word, unit);
  }
  return all;
}

export const base64 = (hex) => Buffer.from(hex, 'hex').toString('base64');

/** Registers both, under names that no other test uses. */
export function trade({ maker, courier, gtin }) {
  const regulator = file('regulator.key');
  const roles = { [maker]: ['maker', 'seller'], [courier]: ['courier'] };
  const keyOf = (party) => file(`${party.replace(/\W/g, '-')}.key`);
  for (const [party, own] of Object.entries(roles)) {
    const flags = own.flatMap((role) => ['--role', role]);
    custody('key', 'new', keyOf(party));
    custody('party', 'register', '--key', keyOf(party), '--party', party, '--name', `Firm ${party.slice(-4)}`, ...flags);
    custody('party', 'approve', '--key', regulator, party, ...flags);
  }
  custody('product', 'claim', '--key', keyOf(maker), '--gtin', gtin, '--name', 'Tea');
  custody('product', 'approve', '--key', regulator, '--party', maker, '--gtin', gtin);
  let number = 0;
  /** Has a party say things about one unit. */
  const say = (party, unit, ...bodies) => {
    number += 1;
    const path = file(`drafts-${gtin}-${number}.jsonl`);
    writeFileSync(path, bodies.map((body) => `${JSON.stringify({ units: [{ id: unit }], ...body })}\n`).join(''));
    custody('submit', '--key', keyOf(party), path);
  };
  return { keyOf, say, unit: (serial) => `01/${gtin}/21/${serial}` };
}

/** A one-time key of a buyer: what the seller names, what the courier names, and the secret. */
export function buyer(name) {
  const path = file(`${name}.key`);
  const { secret, keyId } = JSON.parse(custody('key', 'buyer', path, '--json'));
  const { publicKey } = JSON.parse(custody('key', 'show', path, '--json'));
  return { secret, keyId, named: { suite: 'SUITE_ED25519_SHA256', publicKey: base64(publicKey) } };
}
