// The page on which this browser gets its key: made here, and enrolled by a code that an administrator shows.

import { wire } from '../wire.js';
import { connect } from '../scan/ledger.js';
import { deviceKey, obstacle } from '../scan/keys.js';
import { awaitKey, offerKey, pendingEnrolment } from '../scan/enrol.js';
import { measure } from '../scan/clock.js';
import { inWords, make, t } from '../scan/lang.js';
import { askToBeKept } from '../scan/storage.js';
import { KEY, PREFIX, deskKey, forgetKey, keyNumber } from './key.js';

const section = document.getElementById('key');
const { origin, wire: descriptors } = document.body.dataset;
// Whoever waits gives up when another round has begun.
let round = 0;

function show(state, ...children) {
  section.dataset.state = state;
  section.replaceChildren(...children);
}

const line = (kind, text) => make('p', { class: `notice-line ${kind}`, role: 'status' }, text);
const who = ({ partyName, party }) => make('p', {}, make('b', {}, partyName), ' ', make('code', {}, party));

async function app() {
  const messages = await wire(descriptors);
  await measure();
  return { origin, prefix: PREFIX, messages, ledger: connect(messages), signer: await deviceKey(KEY) };
}

function ask(problem) {
  const input = make('input', { id: 'code', name: 'code', required: true, autocomplete: 'off', spellcheck: 'false', maxlength: 512 });
  const join = (event) => {
    event.preventDefault();
    enrol(input.value);
  };
  const form = make('form', { class: 'stack', on: { submit: join } },
    make('label', { for: 'code' }, t('加入码', 'The code')), input,
    make('button', {}, t('登记', 'Enrol')));
  show('none', ...(problem ? [line('no', problem)] : []), form);
  input.focus();
}

async function enrol(code) {
  // A link that somebody sends must not put this browser under another agency.
  if (await deskKey()) {
    await shown(line('maybe', t(
      '本浏览器已有密钥，须先删除才能登记新密钥。',
      'This browser holds a key already: forget it before another is enrolled.',
    )));
    return;
  }
  round += 1;
  show('working', line('maybe', t('正在连接……', 'Connecting …')));
  try {
    // Each code gets a key of its own: one that was offered before may be in use by now, for somebody else.
    await forgetKey();
    const joining = await app();
    await wait(joining, await offerKey(joining, code));
  } catch (error) {
    ask(inWords(error));
  }
}

async function wait(joining, pending) {
  round += 1;
  const mine = round;
  const stop = async () => {
    round += 1;
    await forgetKey();
    ask();
  };
  show('waiting',
    who(pending),
    make('p', {}, t('请管理员核对本浏览器的密钥编号：', 'The administrator compares the number of this key:')),
    make('p', {}, make('b', { class: 'key' }, keyNumber(joining.signer))),
    line('maybe', t('等待管理员确认……', 'Waiting for the administrator …')),
    make('button', { class: 'quiet', type: 'button', on: { click: stop } }, t('取消', 'Cancel')));
  if (await awaitKey(joining, pending, { cancelled: () => mine !== round })) {
    await shown();
    await askToBeKept();
  }
}

async function shown(...notes) {
  const key = await deskKey();
  if (!key) {
    const pending = await pendingEnrolment(PREFIX);
    return pending ? wait(await app(), pending) : ask();
  }
  const drop = async () => {
    if (!confirm(t('删除后无法恢复，须重新登记。确定？', 'It can’t be brought back; a new one has to be enrolled. Go on?'))) return;
    await forgetKey();
    ask();
  };
  return show('enrolled',
    ...notes,
    line('ok', t('本浏览器可代表以下部门签署：', 'This browser signs for')),
    who(key),
    make('p', {}, t('密钥编号 ', 'Number of the key '), make('b', { class: 'key' }, keyNumber(key))),
    make('button', { class: 'quiet', type: 'button', on: { click: drop } }, t('删除此密钥', 'Forget this key')));
}

/** The code in the address is taken out of it: browsers keep addresses. */
function fromAddress() {
  if (!location.hash.startsWith('#enrol=')) return null;
  const link = location.href;
  history.replaceState(null, '', location.pathname + location.search);
  return link;
}

async function begin() {
  const hindered = await obstacle();
  if (hindered) return show('none', line('no', inWords(hindered)));
  const link = fromAddress();
  return link ? enrol(link) : shown();
}

addEventListener('hashchange', () => {
  const link = fromAddress();
  if (link) enrol(link);
});
begin().catch((error) => ask(inWords(error)));
