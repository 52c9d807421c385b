// Keeps the session going for as long as somebody works here, if this browser holds a key; else says when it ends.

import { measure, offset } from '../scan/clock.js';
import { clockTime, make, t } from '../scan/lang.js';
import { deskKey, token } from './key.js';

const RENEW_BEFORE_MS = 300_000;
const WARN_BEFORE_MS = 120_000;
const LOOK_EVERY_MS = 30_000;

const { origin, party } = document.body.dataset;
const note = document.getElementById('session-note');
const until = document.getElementById('session-until');
const pages = new BroadcastChannel('desk-session');
let ends = Number(document.body.dataset.sessionEnds);
let used = false;
let timer;

const left = async () => ends - Date.now() - (await offset().catch(() => 0));

function tell(text, ...more) {
  note.hidden = !text;
  // What is said already is not read out again.
  if (note.firstChild?.data !== text) note.replaceChildren(text, ...more);
}

async function renew(key) {
  const body = new URLSearchParams({ token: await token(key, { origin }) });
  const answer = await fetch('/desk/session', { method: 'POST', body });
  if (answer.status !== 204) return;
  used = false;
  ends = Number(answer.headers.get('x-session-ends'));
  until.textContent = clockTime(ends);
  pages.postMessage(ends);
}

async function look() {
  let ms = await left();
  if (ms < RENEW_BEFORE_MS) {
    // A clock that is wrong must not end what goes on.
    await measure();
    const key = await deskKey().catch(() => null);
    // Without a network it is tried again at the next look.
    if (key?.party === party && used && !document.hidden && (await left()) > 0) await renew(key).catch(() => {});
    ms = await left();
  }
  if (ms <= 0) {
    const login = `/desk/login?to=${encodeURIComponent(location.pathname + location.search)}`;
    tell(t('登录已结束。', 'The session has ended. '), make('a', { href: login }, t('重新登录', 'Log in again')));
    return;
  }
  const at = clockTime(ends);
  tell(ms < WARN_BEFORE_MS ? t(`登录将于 ${at} 结束，届时请重新登录。`, `The session ends at ${at}; log in again then.`) : '');
  clearTimeout(timer);
  timer = setTimeout(look, Math.min(LOOK_EVERY_MS, Math.max(1000, ms)));
}

for (const event of ['pointerdown', 'keydown']) addEventListener(event, () => { used = true; }, { passive: true });
// The session is that of all pages of this browser: what one knows of it, the others do.
pages.addEventListener('message', ({ data }) => {
  ends = data;
  until.textContent = clockTime(ends);
  look();
});
pages.postMessage(ends);
look();
