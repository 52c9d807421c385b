// What each action asks for besides the codes. A form is built into a box; `read` gives what it holds, or says
// what is missing.

import { sha256 } from '../../vendor/ed25519.js';
import { hex, make, t, Wrong } from './lang.js';
import { readParty } from './parties.js';
import { DAMAGED, GOOD, OPENED } from './records.js';
import { recall, remember } from './store.js';

const RECENT = 5;
const REASON_BYTES = 256;

const note = (text) => make('p', { class: 'small' }, text);

function choices(name, options) {
  const set = make('fieldset', { class: 'choices' });
  options.forEach(([value, text], i) => {
    set.append(make('label', {}, make('input', { type: 'radio', name, value, checked: i === 0 }), text));
  });
  return { set, value: () => set.querySelector('input:checked').value };
}

function collect(box) {
  const names = [t('实名', 'Real name'), t('验视', 'Inspected'), t('安检', 'Screened')];
  const toggles = names.map((name) => {
    const toggle = make('button', { type: 'button', class: 'toggle', 'aria-pressed': 'false' }, name);
    toggle.addEventListener('click', () => toggle.setAttribute('aria-pressed', toggle.getAttribute('aria-pressed') !== 'true'));
    return toggle;
  });
  box.append(make('div', { class: 'toggles', role: 'group', 'aria-label': t('寄递三项制度', 'The three checks') }, ...toggles));
  box.append(note(t('每件都已完成才按下；缺项会计入信用扣分。', 'Press what was done for every parcel; what is missing counts against the score.')));
  return () => ({ checks: [1, 2, 3].filter((check) => toggles[check - 1].getAttribute('aria-pressed') === 'true') });
}

function accept(box) {
  const condition = choices('condition', [[GOOD, t('完好', 'Good')], [DAMAGED, t('破损', 'Damaged')], [OPENED, t('拆封', 'Opened')]]);
  box.append(condition.set);
  return () => ({ condition: Number(condition.value()) });
}

async function handover(box) {
  const input = make('input', { id: 'to', autocomplete: 'off', autocapitalize: 'characters', spellcheck: 'false', placeholder: 'uscc:… / gln:…' });
  const recents = (await recall('recents')) ?? [];
  box.append(make('label', { for: 'to' }, t('交给（统一社会信用代码或 GLN）', 'To (social credit code or GLN)')), input);
  const pick = (party) => make('button', { type: 'button', class: 'plain', on: { click: () => { input.value = party; } } }, party);
  box.append(make('div', { class: 'recents' }, ...recents.map(pick)));
  return async () => {
    const to = readParty(input.value);
    input.value = to;
    await remember('recents', [to, ...recents.filter((party) => party !== to)].slice(0, RECENT));
    return { to };
  };
}

function reasonInput(box, common) {
  const input = make('input', { id: 'reason', maxlength: 120, autocomplete: 'off' });
  const pick = (text) => make('button', { type: 'button', class: 'plain', on: { click: () => { input.value = text; } } }, text);
  box.append(make('label', { for: 'reason' }, t('原因', 'Reason')), input, make('div', { class: 'recents' }, ...common.map(pick)));
  return () => {
    const reason = input.value.trim();
    if (!reason) throw new Wrong('请先填写或选择原因。', 'Give or choose a reason first.');
    if (new TextEncoder().encode(reason).length > REASON_BYTES) throw new Wrong('原因太长。', 'The reason is too long.');
    return reason;
  };
}

function refuse(box) {
  const reason = reasonInput(box, [t('外包装破损', 'Box damaged'), t('数量不符', 'Wrong quantity'), t('地址不符', 'Wrong address'), t('违禁品', 'Not allowed')]);
  return () => ({ reason: reason() });
}

function damaged(box) {
  const when = choices('when', [['held', t('货在我方手中', 'Held by us')], ['taking', t('正在接收', 'Being taken over')]]);
  const photo = make('input', { type: 'file', id: 'photo', class: 'unseen', accept: 'image/*', capture: 'environment' });
  const label = make('label', { for: 'photo', class: 'button plain' });
  const state = () => {
    label.textContent = photo.files.length ? t('✓ 已拍照，请扫码', '✓ Photo taken, now scan') : t('拍照（每件一张）', 'Take a photo (one for each unit)');
  };
  photo.addEventListener('change', state);
  state();
  box.append(when.set, photo, label);
  box.append(note(t('账本只记录照片的指纹，请在手机相册中保留原照片。', 'The ledger keeps the photo’s fingerprint only: keep the photo itself on the phone.')));
  return async () => {
    const taking = when.value() === 'taking';
    const [file] = photo.files;
    if (!taking && !file) throw new Wrong('请先拍照。', 'Take a photo first.');
    const digest = file && hex(sha256(new Uint8Array(await file.arrayBuffer())));
    photo.value = '';
    state();
    return { taking, photo: digest };
  };
}

function buyerNote(text) {
  return (box) => {
    box.append(note(text()));
    return () => ({});
  };
}

const FORMS = {
  collect,
  accept,
  handover,
  refuse,
  damaged,
  deliver: buyerNote(() => t('先扫包裹，再扫买家出示的收货码。', 'Scan the parcel, then the code that the buyer shows.')),
  return: buyerNote(() => t('先扫包裹，再扫买家出示的收货码：退货须经买家签名同意。', 'Scan the parcel, then the buyer’s code: a return needs the buyer’s signature.')),
};

/** Builds the form of an action, and gives what reads it. */
export async function buildForm(action, box) {
  box.replaceChildren();
  return (await FORMS[action]?.(box)) ?? (() => ({}));
}

/** The reason of a correction. */
export const correctionReason = (box) => reasonInput(box, [t('扫错货物', 'Wrong goods scanned'), t('选错操作', 'Wrong action chosen'), t('地点有误', 'Wrong place')]);
