// Sends what waits, one by one and in order, and writes down what became of each. The same envelope is sent
// until it is answered; only an answer that it came too late has it signed again.

import { forgetHead, rebase, rememberHead, seal } from './chain.js';
import { measure } from './clock.js';
import { equal } from './lang.js';
import { meaning } from './ledger.js';
import { clearOld, countWaiting, rowOf, save, waiting } from './outbox.js';

const MOST_REBASES = 8;
const EVERY_MS = 15_000;

/** What is not known to have been answered. */
class Unanswered extends Error {}

const subjects = (row) => [row.unit, ...row.containers.map(({ id }) => id)];

async function finish(app, row, state, result) {
  row.state = state;
  row.result = result;
  row.answered = Date.now();
  // A buyer's key is of no more use here.
  if (state !== 'waiting') delete row.buyer;
  await save(row);
  app.tell(row);
}

async function accepted(app, row, receipt) {
  const { findings = [], beside = [] } = receipt.verdict ?? {};
  // A record has one unit here, so that whatever stands beside is that one.
  row.beside = beside.length > 0;
  if (row.beside) await forgetHead(row.unit);
  else await rememberHead(row.unit, { prev: row.recordId, containers: row.action === 'return' ? [] : row.containers });
  const kinds = findings.map(({ kind }) => kind);
  const result = { index: String(receipt.logIndex), findings: kinds };
  await finish(app, row, kinds.length || row.overtaken ? 'flagged' : 'done', result);
}

/** Whether a row names what its predecessors became; they may have been signed again, or refused. */
async function namesWhatBecame(row) {
  const named = new Map([[row.unit, row.prev], ...row.containers.map(({ id, prev }) => [id, prev])]);
  for (const [id, seq] of Object.entries(row.follows)) {
    const before = await rowOf(seq);
    if (before && (before.state === 'refused' || before.beside || !equal(before.recordId, named.get(id)))) return false;
  }
  if (row.corrects === undefined) return true;
  const { recordId } = await rowOf(row.corrects);
  return equal(recordId, row.correctsId ?? recordId);
}

async function again(app, row) {
  try {
    await rebase(app, row);
  } catch (error) {
    throw meaning(error).kind === 'unanswered' ? new Unanswered(error.message) : error;
  }
  await seal(app, row);
  await save(row);
}

/** Sends one row until it is answered; false when it has to wait for another. */
async function send(app, row) {
  if (row.corrects !== undefined) {
    const about = await rowOf(row.corrects);
    if (about.state === 'refused') {
      await finish(app, row, 'refused', { reason: 'CORRECTED_REFUSED', message: 'the record was not accepted' });
      return true;
    }
    row.correctsId ??= about.recordId;
  }
  if (!(await namesWhatBecame(row))) {
    await again(app, row);
    if (row.corrects !== undefined) row.correctsId = (await rowOf(row.corrects)).recordId;
  }
  for (;;) {
    try {
      await accepted(app, row, await app.ledger.submit(row.envelope));
      return true;
    } catch (error) {
      const { kind, reason, message } = meaning(error);
      if (kind === 'unanswered') throw new Unanswered(message);
      if (kind === 'wait') {
        row.result = { waits: true, reason, message };
        await save(row);
        app.tell(row);
        return false;
      }
      if (kind === 'refused' || row.rebased >= MOST_REBASES) {
        await forgetHead(row.unit);
        await finish(app, row, 'refused', { reason, message });
        return true;
      }
      row.rebased += 1;
      // Where the head was not known, nobody came first.
      row.overtaken ||= row.prev.length > 0;
      await again(app, row);
    }
  }
}

async function sendAll(app) {
  const stuck = new Set();
  for (let row of await waiting()) {
    row = await rowOf(row.seq);
    if (row.state !== 'waiting' || subjects(row).some((id) => stuck.has(id))) continue;
    let sent = false;
    try {
      sent = await send(app, row);
    } catch (error) {
      if (error instanceof Unanswered) throw error;
      // Whatever is wrong with one record must not keep the others; it stays, and is tried again.
      app.fail(error);
    }
    if (!sent) subjects(row).forEach((id) => stuck.add(id));
  }
}

/** Starts sending, now and whenever there may be a network. `sync()` asks for it at once. */
export function startSync(app) {
  let asked = false;
  let running = false;
  async function sync() {
    asked = true;
    if (running) return;
    running = true;
    try {
      while (asked) {
        asked = false;
        // Two open pages must not send one row at the same time.
        await navigator.locks.request('custody-scan-send', async () => {
          app.setOnline(await measure());
          if (app.online && app.enrolled && (await countWaiting())) await sendAll(app);
        });
      }
    } catch (error) {
      if (!(error instanceof Unanswered)) app.fail(error);
      else app.setOnline(false);
    } finally {
      running = false;
      app.changed();
    }
  }
  addEventListener('online', sync);
  addEventListener('offline', () => app.setOnline(false));
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && sync());
  setInterval(sync, EVERY_MS);
  clearOld().then(sync);
  return sync;
}
