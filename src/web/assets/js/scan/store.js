// What the device keeps: its key, settings, what was signed, and the heads of units that it has seen.

import { openDB } from '../../vendor/idb.js';

let opened;

export function store() {
  opened ??= openDB('custody-scan', 1, {
    upgrade(db) {
      db.createObjectStore('meta');
      db.createObjectStore('heads', { keyPath: 'unit' });
      const outbox = db.createObjectStore('outbox', { keyPath: 'seq', autoIncrement: true });
      outbox.createIndex('unit', 'unit');
      outbox.createIndex('state', 'state');
    },
  });
  return opened;
}

export const recall = async (name) => (await store()).get('meta', name);
export const remember = async (name, value) => (await store()).put('meta', value, name);
export const forget = async (name) => (await store()).delete('meta', name);
