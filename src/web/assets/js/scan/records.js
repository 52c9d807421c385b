// From what was scanned to a signed row of the outbox: what each action says.

import { chain, seal } from './chain.js';
import { offset } from './clock.js';
import { buyerForOutbox } from './keys.js';
import { save } from './outbox.js';
import { placeNow } from './place.js';

export const GOOD = 1;
export const DAMAGED = 2;
export const OPENED = 3;
/** Real name, inspection, screening. */
const CHECKS = [1, 2, 3];

/** What a photo is found again by; the photo itself stays on the phone. */
function photoContext(digest) {
  if (!digest) return undefined;
  return {
    fields: [{ name: 'custody:photo', value: { value: { case: 'text', value: `sha256:${digest}` } } }],
    namespaces: [{ prefix: 'custody', uri: 'urn:x-custody:v1:' }],
  };
}

/** The bodies, by action; `said` is what the form holds. */
export const BODIES = {
  collect: ({ checks }) => ({ case: 'accept', value: { condition: GOOD, checks: CHECKS.filter((check) => checks.includes(check)) } }),
  accept: ({ condition }) => ({ case: 'accept', value: { condition } }),
  handover: ({ to }) => ({ case: 'handover', value: { to } }),
  scan: () => ({ case: 'scan', value: {} }),
  deliver: ({ buyerKeyId }) => ({ case: 'deliver', value: { buyerKeyId: buyerKeyId ?? new Uint8Array() } }),
  confirm: () => ({ case: 'confirm', value: { contents: [] } }),
  refuse: ({ reason }) => ({ case: 'refuse', value: { reason } }),
  return: () => ({ case: 'return', value: {} }),
  damaged: ({ taking }) => (taking ? { case: 'accept', value: { condition: DAMAGED } } : { case: 'scan', value: {} }),
  correct: ({ reason }) => ({ case: 'correct', value: { reason } }),
};

/** What happens at a buyer's door. */
const AT_BUYER = ['deliver', 'confirm', 'return'];

/**
 * Signs what happened and writes it down. It is the device's own word unless `said.secret` is a buyer's and
 * the action is the buyer's to take.
 */
export function record(app, action, unit, said = {}) {
  // One after the other, also with the page open twice: each names the one before.
  return navigator.locks.request('custody-scan-sign', async () => {
    const row = {
      action,
      unit,
      at: Date.now(),
      state: 'waiting',
      by: action === 'confirm' ? 'buyer' : 'device',
      buyer: said.secret && ['confirm', 'return'].includes(action) ? await buyerForOutbox(said.secret) : undefined,
      corrects: said.corrects,
      rebased: 0,
      draft: {
        nonce: crypto.getRandomValues(new Uint8Array(16)),
        time: Date.now(),
        offset: await offset(),
        place: await placeNow({ atBuyer: AT_BUYER.includes(action) }),
        context: photoContext(said.photo),
        body: BODIES[action](said),
      },
    };
    await chain(app, row);
    await seal(app, row);
    return save(row);
  });
}
