// How far this device's clock is from the ledger's. Remembered, since it is needed where there is no network.

import { recall, remember } from './store.js';

const MOST_MS = 366 * 86_400_000;

/** What to add to a time of this device, in whole milliseconds. */
export async function offset() {
  return (await recall('offset')) ?? 0;
}

/** Measures by the `date` of an answer, which counts whole seconds; true when the ledger was reached. */
export async function measure() {
  // A device that knows that it has no network need not try.
  if (!navigator.onLine) return false;
  try {
    const sent = Date.now();
    const response = await fetch('/healthz', { method: 'HEAD', cache: 'no-store', signal: AbortSignal.timeout(5000) });
    const answered = Date.now();
    const date = Date.parse(response.headers.get('date') ?? '');
    if (!response.ok) return false;
    if (Number.isNaN(date)) return true;
    const found = date + 500 - Math.round((sent + answered) / 2);
    // Within what a date in seconds can tell, the clocks agree.
    const kept = Math.abs(found) <= 1500 ? 0 : Math.max(-MOST_MS, Math.min(MOST_MS, found));
    await remember('offset', kept);
    return true;
  } catch {
    return false;
  }
}
