// Turns forms into signed records. The server holds no agency's key: what an agency does is signed here, and the
// ledger judges it like any other record.

import { sha256 } from '../../vendor/ed25519.js';
import { refusal, services, sign } from '../sign.js';
import { wire } from '../wire.js';
import { measure, offset } from '../scan/clock.js';
import { hex, inWords, make, t, Wrong } from '../scan/lang.js';
import { recall, remember } from '../scan/store.js';
import { base64, bodyOf, linesOf } from './fields.js';
import { deskKey, PREFIX, token } from './key.js';

const SALT_BYTES = 16;
const SECRET_BYTES = 32;
const SUBMIT_MS = 15_000;
const { origin, wire: descriptors } = document.body.dataset;

const keyHere = deskKey().catch(() => null);
let messages;
const wired = () => (messages ??= wire(descriptors));

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
  const secret = randomBytes(SECRET_BYTES);
  const commitment = sha256(secret);
  await remember(secretName(hex(commitment)), secret);
  form.dataset.secret = hex(secret);
  return base64(commitment);
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
  const kept = await personal.putPrivate(request, { headers, timeoutMs: SUBMIT_MS });
  if (hex(kept.text.commitment) !== hex(commitment)) {
    throw new Wrong('账本保存的承诺值不符，未签署。', 'The ledger kept another text; nothing was signed.');
  }
  return { algorithm: 'DIGEST_ALGORITHM_SHA256', value: base64(commitment) };
}

const isPrivate = (field) =>
  field.dataset.private && field.form.querySelector(`.private-switch[data-for="${field.name}"]`)?.checked;

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
  const lines = [...linesOf(body), ...apart.map((field) => [field.name, `${field.value} (${t('不进日志', 'not in the log')})`])];
  const dialog = make('dialog', { class: 'sign', 'aria-labelledby': 'sign-title' },
    make('h2', { id: 'sign-title' }, form.dataset.title),
    make('p', {}, t('以下内容将以贵机关密钥签名并永久写入日志：', 'This is signed with your authority’s key and stays in the log for good:')),
    make('dl', {}, ...lines.flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)])),
    make('form', { class: 'row', method: 'dialog' },
      make('button', { class: 'quiet', value: 'no' }, t('取消', 'Cancel')),
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
  const said = JSON.stringify([body, apart.map((field) => field.value)]);
  if (form.unanswered?.said === said) return form.unanswered.envelope;
  for (const field of apart) body[field.dataset.private] = await keepPrivate(field, key);
  await measure();
  const draft = (await wired()).fromJson('Record', { [form.dataset.act]: body });
  const envelope = await sign(await wired(), origin, key, { units: [], body: draft.body }, { offset: await offset() });
  form.unanswered = { said, envelope };
  return envelope;
}

async function act(form, button) {
  const key = await keyHere;
  if (!key) return;
  const place = result(form);
  button.disabled = true;
  try {
    const { body, apart } = await read(form);
    // So that a wrong value is said before anything is kept or asked.
    (await wired()).fromJson('Record', { [form.dataset.act]: body });
    if (!('quick' in form.dataset) && !(await agreed(form, body, apart))) return;
    place.textContent = t('正在提交……', 'Sending …');
    const envelope = await envelopeFor(form, key, body, apart);
    const { ledger } = services(await wired());
    const { receipt } = await ledger.submit({ envelope }, { timeoutMs: SUBMIT_MS });
    form.unanswered = undefined;
    done(form, place, receipt.logIndex);
  } catch (error) {
    const { message, reason } = error instanceof Wrong ? { message: inWords(error) } : refusal(error);
    // What the ledger refused is not sent again as it is.
    if (/^[A-Z_]{4,}/.test(message)) form.unanswered = undefined;
    place.textContent = reason && !message.includes(reason) ? `${message} (${reason})` : message;
  } finally {
    button.disabled = false;
    button.focus();
  }
}

function done(form, place, index) {
  form.dataset.state = 'done';
  const link = make('a', { href: `/desk/entries/${index}` }, t(`第 ${index} 条`, `entry ${index}`));
  place.replaceChildren(t('已签署：', 'Signed: '), link);
  const { secret, then } = form.dataset;
  if (secret) {
    place.append(make('br'), t('摇号密数（保管至摇号）：', 'Secret of the draw, to be kept until then: '), make('code', {}, secret));
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

/** Makes the forms below an element ready. */
export async function attend(root) {
  for (const form of root.querySelectorAll('form.act')) depend(form);
  for (const field of root.querySelectorAll('[data-as="kept-secret"]')) {
    const secret = await recall(secretName(field.dataset.commitment));
    if (secret && !field.value) field.value = hex(secret);
  }
  if (await keyHere) return;
  for (const form of root.querySelectorAll('form.act')) {
    for (const button of form.querySelectorAll('button')) button.disabled = true;
    if ('quick' in form.dataset) continue;
    result(form).replaceChildren(
      t('本浏览器没有签名密钥：', 'This browser holds no signing key: '),
      make('a', { href: '/desk/key' }, t('登记', 'enrol one')),
    );
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
