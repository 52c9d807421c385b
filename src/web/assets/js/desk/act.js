// Turns forms into signed records. The server holds no agency's key: what an agency does is signed here, and the
// ledger judges it like any other record.

import { sha256 } from '../../vendor/ed25519.js';
import { refusal, services, sign } from '../sign.js';
import { wire } from '../wire.js';
import { measure, offset } from '../scan/clock.js';
import { hex, inWords, make, t, Wrong } from '../scan/lang.js';
import { connect, meaning } from '../scan/ledger.js';
import { recall, remember } from '../scan/store.js';
import { base64, bodyOf, linesOf, put } from './fields.js';
import { deskKey, PREFIX, token } from './key.js';

const SALT_BYTES = 16;
const SECRET_BYTES = 32;
const PUT_MS = 15_000;
const { origin, wire: descriptors } = document.body.dataset;

const keyHere = deskKey().catch(() => null);
let messages;
/** The messages of the ledger, fetched once; what failed is tried again. */
function wired() {
  messages ??= wire(descriptors).catch((error) => {
    messages = undefined;
    throw error;
  });
  return messages;
}

// What is under way for a form: `busy`, the `secret` of a draw, and the `envelope` that has no answer yet, with what
// was `said` in it. Not on the form itself, where a field's name would hide it.
const ways = new WeakMap();
function wayOf(form) {
  if (!ways.has(form)) ways.set(form, {});
  return ways.get(form);
}

const secretName = (commitment) => `${PREFIX}secret-${commitment}`;

/** Where the form says what became of it. */
function result(form) {
  let place = form.querySelector('.result');
  if (!place) {
    place = make('p', { class: 'result', role: 'status' });
    form.append(place);
  }
  return place;
}

const randomBytes = (count) => crypto.getRandomValues(new Uint8Array(count));

/** A secret that the record commits to: kept here before anything is sent, since nobody else has it. */
async function newSecret(form) {
  const way = wayOf(form);
  // Pressed again, it is the same record still.
  if (!way.secret) {
    const secret = randomBytes(SECRET_BYTES);
    await remember(secretName(hex(sha256(secret))), secret);
    way.secret = secret;
  }
  return base64(sha256(way.secret));
}

/** A text that must stay erasable is kept beside the log; the record holds a salted commitment to it. */
async function keepPrivate(field, key) {
  const form = field.form;
  const { personal } = services(await wired());
  const salt = randomBytes(SALT_BYTES);
  const text = field.value.trim();
  const commitment = sha256(Uint8Array.of(...salt, ...new TextEncoder().encode(text)));
  const subject = form.elements[field.dataset.subject].value.trim();
  const request = (await wired()).fromJson('PutPrivateRequest', { subject, class: field.dataset.class, salt: base64(salt), text });
  const headers = { authorization: `Bearer ${await token(key, { origin, seconds: 60 })}` };
  const kept = await personal.putPrivate(request, { headers, timeoutMs: PUT_MS });
  if (hex(kept.text.commitment) !== hex(commitment)) {
    throw new Wrong('账本保存的承诺值不符，未签署。', 'The ledger kept another text; nothing was signed.');
  }
  return { algorithm: 'DIGEST_ALGORITHM_SHA256', value: base64(commitment) };
}

const isPrivate = (field) =>
  field.dataset.private && field.value.trim() && field.form.querySelector(`.private-switch[data-for="${field.name}"]`)?.checked;

/** What the form says, with digests of files; texts to be kept apart are named beside. */
async function read(form) {
  const fields = [];
  const apart = [];
  for (const field of form.elements) {
    if (field.tagName === 'BUTTON' || field.tagName === 'FIELDSET' || field.matches('.private-switch') || field.disabled) continue;
    if (field.closest('fieldset:disabled')) continue;
    if (['radio', 'checkbox'].includes(field.type) && !field.checked) continue;
    const { as } = field.dataset;
    if (isPrivate(field)) apart.push(field);
    else if (as === 'new-secret') fields.push({ path: field.name, value: await newSecret(form) });
    else if (field.type === 'file') {
      const [file] = field.files;
      fields.push({ path: field.name, as: 'digest', value: file && new Uint8Array(await file.arrayBuffer()) });
    } else fields.push({ path: field.name, as, value: field.value });
  }
  return { body: bodyOf(fields), apart };
}

/** Shows what will be signed, and asks. */
function agreed(form, body, apart) {
  const beside = apart.map((field) => [field.name, `${field.value} (${t('不进日志', 'not in the log')})`]);
  const lines = [...linesOf(body), ...beside];
  const dialog = make('dialog', { class: 'sign', 'aria-labelledby': 'sign-title' },
    make('h2', { id: 'sign-title' }, form.dataset.title),
    make('p', {}, t(
      '以下内容将以贵机关密钥签名并永久写入日志：',
      'This will be signed with your authority’s key and stays in the log for good:',
    )),
    make('dl', {}, ...lines.flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)])),
    make('form', { class: 'row', method: 'dialog' },
      make('button', { class: 'quiet', value: 'no', autofocus: true }, t('取消', 'Cancel')),
      make('button', { class: 'sign', value: 'yes' }, t('签署', 'Sign'))));
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
    dialog.showModal();
  });
}

/** The envelope; the same one as before when nothing was changed and it isn't known what became of it. */
async function envelopeFor(form, key, body, apart) {
  const way = wayOf(form);
  const said = JSON.stringify([body, apart.map((field) => field.value)]);
  if (way.envelope && way.said === said) return way.envelope;
  await measure();
  for (const field of apart) put(body, field.dataset.private, await keepPrivate(field, key));
  const draft = (await wired()).fromJson('Record', { [form.dataset.act]: body });
  way.envelope = await sign(await wired(), origin, key, { units: [], body: draft.body }, { offset: await offset() });
  way.said = said;
  return way.envelope;
}

/** Sends the envelope. It is kept until it is answered: sent again as it is, it is written once. */
async function submit(form, envelope) {
  const encoded = (await wired()).encode('Envelope', envelope);
  try {
    return await connect(await wired()).submit(encoded);
  } catch (error) {
    const { kind, message } = meaning(error);
    if (kind === 'unanswered') {
      throw new Wrong(
        `账本没有答复（${message}）。再按一次，将重发同一份记录。`,
        `The ledger did not answer (${message}). Press again to send the same record.`,
      );
    }
    if (kind !== 'wait') wayOf(form).envelope = undefined;
    throw error;
  }
}

function inReasons(error) {
  if (error.name !== 'ConnectError') return inWords(error);
  const { message, reason } = refusal(error);
  // The ledger's own refusals begin with the reason.
  return meaning(error).reason ? message : `${message} (${reason})`;
}

async function act(form, button) {
  const key = await keyHere;
  const way = wayOf(form);
  if (!key || way.busy) return;
  way.busy = true;
  button.disabled = true;
  const place = result(form);
  place.textContent = '';
  try {
    const { body, apart } = await read(form);
    // So that a wrong value is said before anything is kept or asked.
    (await wired()).fromJson('Record', { [form.dataset.act]: body });
    if (!('quick' in form.dataset) && !(await agreed(form, body, apart))) return;
    place.textContent = t('正在提交……', 'Sending …');
    const receipt = await submit(form, await envelopeFor(form, key, body, apart));
    done(form, place, receipt.logIndex);
  } catch (error) {
    place.textContent = inReasons(error);
  } finally {
    // What is signed is not signed twice.
    if (form.dataset.state !== 'done') {
      way.busy = false;
      button.disabled = false;
      refocus(form, button);
    }
  }
}

/** The focus comes back to the form, unless somebody has gone on to another place. */
function refocus(form, element) {
  const { activeElement } = document;
  if (activeElement === document.body || form.contains(activeElement)) element.focus();
}

function done(form, place, index) {
  form.dataset.state = 'done';
  const link = make('a', { href: `/desk/entries/${index}` }, t(`第 ${index} 条`, `entry ${index}`));
  place.replaceChildren(t('已签署：', 'Signed: '), link);
  refocus(form, link);
  const { secret } = wayOf(form);
  const { then } = form.dataset;
  if (secret) {
    place.append(make('br'), t('摇号密数（保管至摇号）：', 'Secret of the draw, to be kept until then: '), make('code', {}, hex(secret)));
    return;
  }
  if (then === 'reload') location.reload();
  else if (then) location.assign(then.replace('{index}', index));
}

/** Fields that others depend on. */
function depend(form) {
  for (const part of form.querySelectorAll('fieldset[data-when]')) {
    const [name, values] = part.dataset.when.split('=');
    const value = new FormData(form).get(name);
    part.disabled = !values.split('|').includes(value);
    part.hidden = part.disabled;
  }
}

/** Says why nothing can be signed, and what else there is. */
function explain(form) {
  const why = t('本浏览器没有签名密钥', 'This browser holds no signing key');
  // There may be a hundred of these on a page, each a button only.
  if ('quick' in form.dataset) {
    for (const button of form.querySelectorAll('button')) button.title = why;
    return;
  }
  const { command } = form.dataset;
  const place = result(form);
  place.replaceChildren(why, t('：', ': '), make('a', { href: '/desk/key' }, t('登记', 'enrol one')));
  if (command) place.append(t('，或用命令 ', ', or use the command '), make('code', {}, command));
}

/** Makes the forms below an element ready: only then can their buttons be pressed. */
export async function attend(root) {
  const forms = root.querySelectorAll('form.act');
  forms.forEach(depend);
  for (const field of root.querySelectorAll('[data-as="kept-secret"]')) {
    const secret = await recall(secretName(field.dataset.commitment)).catch(() => null);
    if (secret && !field.value) field.value = hex(secret);
  }
  const key = await keyHere;
  for (const form of forms) {
    for (const button of form.querySelectorAll('button')) button.disabled = !key;
    if (!key) explain(form);
  }
}

document.addEventListener('submit', (event) => {
  if (!event.target.matches('form.act')) return;
  event.preventDefault();
  act(event.target, event.submitter ?? event.target.querySelector('button'));
});
for (const event of ['input', 'change']) {
  document.addEventListener(event, ({ target }) => {
    const form = target.closest('form.act');
    if (form) depend(form);
  });
}
attend(document);
