// The list of alerts as it grows: lines that the server has made, put in as they come.

import { placeTimes } from '../place_time.js';
import { make, t } from '../scan/lang.js';
import { attend } from './act.js';

const MOST_ROWS = 200;
const FRESH_MS = 4000;
const list = document.getElementById('live');
const state = document.getElementById('live-state');
const said = document.getElementById('live-said');
const count = document.getElementById('live-count');

/** The one place where the server's HTML is put into a page by a script. */
function rowOf(html) {
  const template = document.createElement('template');
  template.innerHTML = html;
  return template.content.querySelector('li');
}

function put(row) {
  const before = document.getElementById(row.id);
  if (before) {
    const focused = before.contains(document.activeElement);
    before.replaceWith(row);
    if (focused) row.querySelector('a')?.focus();
  } else {
    list.prepend(row);
    row.classList.add('fresh');
    setTimeout(() => row.classList.remove('fresh'), FRESH_MS);
    said.textContent = row.querySelector('.headline').textContent;
  }
  while (list.children.length > MOST_ROWS) list.lastElementChild.remove();
  placeTimes(row);
  attend(row);
  if (count) count.textContent = list.querySelectorAll('[data-open]').length;
}

const source = new EventSource(`${list.dataset.source}&cursor=${encodeURIComponent(list.dataset.cursor)}`);

function ended() {
  source.close();
  const login = `/desk/login?to=${encodeURIComponent(location.pathname + location.search)}`;
  state.replaceChildren(t('○ 登录已结束，', '○ the session has ended: '), make('a', { href: login }, t('重新登录', 'log in again')));
}

source.addEventListener('open', () => { state.textContent = t('● 实时', '● live'); });
source.addEventListener('error', () => {
  // A browser tries again by itself, unless it was sent something else than events: the way to the login.
  if (source.readyState === EventSource.CLOSED) ended();
  else state.textContent = t('○ 连接中断，正在重连', '○ disconnected, reconnecting');
});
source.addEventListener('alert', ({ data }) => put(rowOf(data)));
source.addEventListener('ended', ended);
