// Keeps the session going for as long as somebody works here, if this browser holds a key; else says when it ends.

import { clockTime, make, t } from '../scan/lang.js';
import { deskKey, token } from './key.js';

const RENEW_BEFORE_MS = 300_000;
const WARN_BEFORE_MS = 120_000;
const LOOK_EVERY_MS = 30_000;

const { origin } = document.body.dataset;
const note = document.getElementById('session-note');
const until = document.getElementById('session-until');
let ends = Number(document.body.dataset.sessionEnds);
let used = false;

for (const event of ['pointerdown', 'keydown']) addEventListener(event, () => { used = true; }, { passive: true });

async function renew(key) {
  const body = new URLSearchParams({ token: await token(key, { origin }) });
  const answer = await fetch('/desk/session', { method: 'POST', body });
  if (!answer.ok) return;
  ends = Number(answer.headers.get('x-session-ends'));
  until.textContent = clockTime(ends);
  used = false;
}

function say(...content) {
  note.hidden = false;
  note.replaceChildren(...content);
}

async function look() {
  const left = ends - Date.now();
  if (left <= 0) {
    say(t('登录已结束。', 'The session has ended. '), make('a', { href: `/desk/login?to=${encodeURIComponent(location.pathname + location.search)}` }, t('重新登录', 'Log in again')));
    return;
  }
  const key = await deskKey().catch(() => null);
  // Without a network it is tried again at the next look.
  if (key && used && !document.hidden && left < RENEW_BEFORE_MS) await renew(key).catch(() => {});
  note.hidden = true;
  if (ends - Date.now() < WARN_BEFORE_MS) say(t(`登录将于 ${clockTime(ends)} 结束。`, `The session ends at ${clockTime(ends)}.`));
  setTimeout(look, Math.min(LOOK_EVERY_MS, Math.max(1000, ends - Date.now())));
}

look();
