// The outbox: what was signed is on the device before it is sent, until it is acknowledged, and after that for
// a week. `state` is waiting, done, flagged or refused.

import { store } from './store.js';

const KEPT_MS = 7 * 86_400_000;

/** Writes a row; on the disk when it returns. */
export async function save(row) {
  const tx = (await store()).transaction('outbox', 'readwrite', { durability: 'strict' });
  row.seq = await tx.store.put(row);
  await tx.done;
  return row;
}

export const rowOf = async (seq) => (await store()).get('outbox', seq);
export const waiting = async () => (await store()).getAllFromIndex('outbox', 'state', 'waiting');
export const countWaiting = async () => (await store()).countFromIndex('outbox', 'state', 'waiting');
export const all = async () => (await store()).getAll('outbox');

/** Rows that were made since midnight, the latest first. */
export async function today() {
  const midnight = new Date().setHours(0, 0, 0, 0);
  return (await all()).filter((row) => row.at >= midnight).reverse();
}

/** The last row about a unit that waits. */
export async function lastWaiting(unit) {
  const rows = await (await store()).getAllFromIndex('outbox', 'unit', unit);
  return rows.filter((row) => row.state === 'waiting').at(-1);
}

/** Removes what was answered more than a week ago, and nothing that waits or that what waits names. */
export async function clearOld() {
  const named = new Set((await waiting()).flatMap(({ corrects, follows }) => [corrects, ...Object.values(follows ?? {})]));
  const tx = (await store()).transaction('outbox', 'readwrite');
  for (let cursor = await tx.store.openCursor(); cursor; cursor = await cursor.continue()) {
    const { seq, state, at } = cursor.value;
    if (state !== 'waiting' && !named.has(seq) && at < Date.now() - KEPT_MS) await cursor.delete();
  }
  await tx.done;
}
