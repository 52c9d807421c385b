// Whether the browser may throw away what is not sent yet. The courier is warned while it matters.

import { countWaiting } from './outbox.js';
import { t } from './lang.js';

const NEARLY_FULL = 0.9;

/** Asks to be kept; browsers answer by themselves or ask. */
export async function askToBeKept() {
  if (await navigator.storage?.persisted?.()) return true;
  return (await navigator.storage?.persist?.()) ?? false;
}

/** What to warn of, as sentences. */
export async function warnings() {
  const found = [];
  const unsent = await countWaiting();
  const { usage = 0, quota = Infinity } = (await navigator.storage?.estimate?.()) ?? {};
  if (unsent && !(await navigator.storage?.persisted?.())) {
    found.push(t(
      `有 ${unsent} 条未发送，浏览器未承诺保留数据：请勿清除浏览数据，尽快联网。`,
      `${unsent} unsent, and the browser has not promised to keep them: don’t clear its data, and get online soon.`,
    ));
  }
  if (usage > quota * NEARLY_FULL) {
    found.push(t('手机存储空间快满了，请清理后再扫描。', 'The phone’s storage is nearly full; make room before you scan on.'));
  }
  return found;
}

/** Asks before the page is closed with something unsent. */
export function guardClosing(app) {
  addEventListener('beforeunload', (event) => {
    if (app.unsent) event.preventDefault();
  });
}
