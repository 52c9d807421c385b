// The courier's scanner: what it is made of, and which view is seen.

import { CHOICES, hintOf, nameOf } from './actions.js';
import { prepare } from './camera.js';
import { enrolment } from './enrol.js';
import { startJoining } from './joining.js';
import { deviceKey, obstacle } from './keys.js';
import { byId, inWords, make, t } from './lang.js';
import { connect } from './ledger.js';
import { showMine } from './mine.js';
import { countWaiting } from './outbox.js';
import { updateRow } from './outcome.js';
import { follow, settings } from './place.js';
import { allowSound, signal } from './signal.js';
import { askToBeKept, guardClosing, warnings } from './storage.js';
import { startSync } from './sync.js';
import { showToday } from './totals.js';
import { shown } from './verdicts.js';
import { startWork } from './work.js';
import { wire } from '../wire.js';

const root = byId('scan');
const VIEWS = ['stop', 'enrol', 'actions', 'work', 'today', 'mine'];
const app = { origin: root.dataset.origin, online: navigator.onLine, enrolled: null, unsent: 0 };
let work;
let view;

function show(name) {
  if (view === 'work' && name !== 'work') work.close();
  view = name;
  for (const one of VIEWS) byId(`view-${one}`).hidden = one !== name;
  byId('tabs').hidden = ['stop', 'enrol'].includes(name);
  for (const tab of byId('tabs').querySelectorAll('button')) {
    const here = tab.dataset.view === (name === 'work' ? 'actions' : name);
    if (here) tab.setAttribute('aria-current', 'page');
    else tab.removeAttribute('aria-current');
  }
  if (name === 'today') showToday();
  if (name === 'mine') showMine(app);
  scrollTo(0, 0);
}

async function strip() {
  const line = byId('status');
  line.dataset.online = app.online;
  const network = app.online ? t('● 已连接账本', '● Connected') : t('○ 离线，可继续扫描', '○ Offline, scan on');
  const unsent = app.unsent ? t(`待发送 ${app.unsent}`, `${app.unsent} to send`) : t('全部已发送', 'All sent');
  line.textContent = app.enrolled ? `${network} · ${unsent}` : network;
  const found = await warnings();
  byId('warnings').hidden = !found.length;
  byId('warnings').replaceChildren(...found.map((text) => make('p', {}, `⚠ ${text}`)));
}

/** Colours of what was answered since the last signal: one signal tells the worst. */
let answered = [];

Object.assign(app, {
  setOnline(online) {
    app.online = online;
    strip();
  },
  /** A row was answered. */
  tell(row) {
    const { colour, sign } = shown(row);
    if (row.state !== 'waiting') answered.push(colour);
    updateRow(row);
    const line = document.querySelector(`#batch [data-seq="${row.seq}"]`);
    if (line) {
      line.dataset.colour = colour;
      line.textContent = `${sign}${line.textContent.slice(1)}`;
    }
  },
  /** Something may have changed in the outbox. */
  async changed() {
    app.unsent = await countWaiting();
    const worst = ['bad', 'amber', 'good'].find((colour) => answered.includes(colour));
    answered = [];
    if (worst) signal(worst);
    if (view === 'today') showToday();
    await strip();
  },
  /** What should not happen is seen, and does not stop the rest. */
  fail(error) {
    byId('failure').hidden = false;
    byId('failure').textContent = t(`程序出错：${inWords(error)}`, `Something went wrong: ${inWords(error)}`);
  },
});

function showActions() {
  const tile = (action) => make('button', { type: 'button', class: 'tile', 'data-action': action, on: {
    click: () => {
      allowSound();
      show('work');
      work.open(action);
    },
  } }, make('b', {}, nameOf(action)), make('span', {}, hintOf(action)));
  byId('tiles').replaceChildren(...CHOICES.map(tile));
}

function sunlight() {
  const set = (on) => {
    document.body.classList.toggle('sun', on);
    byId('sun').setAttribute('aria-pressed', on);
  };
  set(localStorage.getItem('scan-sun') === 'yes');
  byId('sun').addEventListener('click', () => {
    const on = !document.body.classList.contains('sun');
    localStorage.setItem('scan-sun', on ? 'yes' : 'no');
    set(on);
  });
}

async function begin(enrolled, first) {
  app.enrolled = enrolled;
  byId('firm').textContent = enrolled.partyName || enrolled.party;
  await askToBeKept();
  const place = await settings();
  follow(place.geolocation);
  // Who opens the link of another enrolment finds how to leave this one.
  const again = location.hash.startsWith('#enrol=');
  show(first || again || !(place.city || place.region) ? 'mine' : 'actions');
  app.sync();
  // So that it is there when the network isn't.
  prepare().catch(() => undefined);
}

async function worker() {
  if (!navigator.serviceWorker) return;
  const registration = await navigator.serviceWorker.register('/scan/worker.js', { scope: '/scan' });
  await navigator.serviceWorker.ready;
  registration.active?.postMessage('refresh');
}

async function start() {
  sunlight();
  const wrong = await obstacle();
  if (wrong) {
    byId('status').hidden = true;
    byId('stop-why').textContent = inWords(wrong);
    show('stop');
    return;
  }
  worker().catch(() => undefined);
  app.signer = await deviceKey();
  app.messages = await wire(root.dataset.wire);
  app.ledger = connect(app.messages);
  work = startWork(app);
  showActions();
  for (const tab of byId('tabs').querySelectorAll('button')) tab.addEventListener('click', () => show(tab.dataset.view));
  byId('back').addEventListener('click', () => show('actions'));
  guardClosing(app);
  app.sync = startSync(app);
  const enrolled = await enrolment();
  if (enrolled) {
    await begin(enrolled, false);
    return;
  }
  show('enrol');
  await startJoining(app, (now) => begin(now, true))();
}

start().catch(app.fail);
