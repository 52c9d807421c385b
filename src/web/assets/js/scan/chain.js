// Chains and signs rows of the outbox: what the unit's head is as far as the device knows, and the record that
// names it. Signed again with new heads, a row stays the same statement: nonce, time and body are kept.

import { pae, recordId, sign } from '../sign.js';
import { buyerSigner } from './keys.js';
import { lastWaiting, rowOf } from './outbox.js';
import { store } from './store.js';

const CONSENT_TYPE = 'application/vnd.custody.return-consent.v1+protobuf';

export async function rememberHead(unit, { prev, containers }) {
  const db = await store();
  await db.put('heads', { unit, prev, containers, at: Date.now() });
  for (const [i, { id, prev: head }] of containers.entries()) {
    await db.put('heads', { unit: id, prev: head, containers: containers.slice(i + 1), at: Date.now() });
  }
}

export const forgetHead = async (unit) => (await store()).delete('heads', unit);

/** The head by the ledger when it answers, else as it was last seen; empty when it never was. */
async function seenHead(app, unit) {
  if (app.online) {
    try {
      const head = await app.ledger.head(unit);
      await rememberHead(unit, head);
      return head;
    } catch {
      // What was seen before has to do.
    }
  }
  const kept = await (await store()).get('heads', unit);
  return kept ? { prev: kept.prev, containers: kept.containers } : { prev: new Uint8Array(), containers: [] };
}

/** Names the heads in a row: those of the device's own rows that wait go before all others. */
export async function chain(app, row) {
  row.follows = {};
  const own = await lastWaiting(row.unit);
  const { prev, containers } = own && own.seq !== row.seq
    ? { prev: own.recordId, containers: own.action === 'return' ? [] : own.containers }
    : await seenHead(app, row.unit);
  if (own && own.seq !== row.seq) row.follows[row.unit] = own.seq;
  row.prev = prev;
  row.containers = [];
  for (const container of containers) {
    const before = await lastWaiting(container.id);
    if (before) row.follows[container.id] = before.seq;
    row.containers.push({ id: container.id, prev: before ? before.recordId : container.prev });
  }
}

/** Names the heads that the ledger has now, and that alone. */
export async function rebase(app, row) {
  const { prev, containers } = await app.ledger.head(row.unit, 15_000);
  await rememberHead(row.unit, { prev, containers });
  Object.assign(row, { prev, containers, follows: {} });
}

async function body(app, row) {
  const { case: kind, value } = row.draft.body;
  if (kind === 'return' && row.buyer) {
    const consent = app.messages.encode('ReturnConsent', {
      origin: app.origin,
      to: app.enrolled.party,
      units: [{ id: row.unit, prev: row.prev }],
    });
    const consentSignature = await buyerSigner(row.buyer).sign(pae(CONSENT_TYPE, consent));
    return { case: kind, value: { consent, consentSignature } };
  }
  if (kind === 'correct') return { case: kind, value: { ...value, recordId: (await rowOf(row.corrects)).recordId } };
  return row.draft.body;
}

/** Signs a row as it is chained. */
export async function seal(app, row) {
  const { nonce, offset, time, place, context } = row.draft;
  const signer = row.by === 'buyer' ? buyerSigner(row.buyer) : app.signer;
  const units = [{ id: row.unit, prev: row.prev }];
  const draft = { time, place, context, units, containers: row.containers, body: await body(app, row) };
  const envelope = await sign(app.messages, app.origin, signer, draft, { offset, nonce });
  row.envelope = app.messages.encode('Envelope', envelope);
  row.recordId = recordId(envelope.payload);
}
