// What a buyer can do with the key that came with the order. The key is made from its secret on this device
// and is gone with the page.

import { sha256 } from '../vendor/ed25519.js';
import { buyerKey, fen, readSecret } from './buyer_key.js';
import { wire } from './wire.js';
import { heads, refusal, services, sign } from './sign.js';

const lang = document.documentElement.lang;
const t = (zh, en) => (lang === 'zh-CN' ? zh : en);

async function digest(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  return { algorithm: 1, value: sha256(bytes) };
}

/** The body of the record that the form asks for; what is missing is thrown as a sentence. */
async function body(form, unit) {
  const { act, complaint, evidence, amount, why } = form.elements;
  const [file] = evidence.files;
  const said = { unit, complaint: Number(complaint.value), evidence: file ? await digest(file) : undefined };
  switch (act.value) {
    case 'confirm':
      return { case: 'confirm', value: { contents: [] } };
    case 'reject':
      return { case: 'reject', value: { reason: why.value.trim() } };
    case 'report':
      return { case: 'reportUnit', value: said };
    default: {
      const amountFen = fen(amount.value);
      if (!amountFen) throw new Error(t('请填写金额，例如 128.50。', 'Give the amount, such as 128.50.'));
      if (!file) throw new Error(t('请选择证据文件。', 'Choose the file with the evidence.'));
      return { case: 'openClaim', value: { ...said, amountFen } };
    }
  }
}

export function attend(section, form) {
  const { unit, origin, wire: descriptors } = section.dataset;
  const result = document.getElementById('buyer-result');
  const say = (kind, text) => {
    result.className = `check-result ${kind}`;
    result.textContent = text;
  };
  const show = () => {
    const act = form.elements.act.value;
    form.querySelector('.if-complaint').hidden = !['report', 'claim'].includes(act);
    form.querySelector('.if-claim').hidden = act !== 'claim';
    form.querySelector('.if-reject').hidden = act !== 'reject';
  };
  form.addEventListener('change', show);
  show();
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = form.querySelector('button');
    button.disabled = true;
    try {
      const secret = readSecret(form.elements.secret.value);
      if (!secret) throw new Error(t('收货密钥应为 26 位字母和数字。', 'A buyer’s key has 26 letters and digits.'));
      const what = await body(form, unit);
      say('', t('正在签名并提交……', 'Signing and sending …'));
      const messages = await wire(descriptors);
      const { ledger } = services(messages);
      const custody = ['confirm', 'reject'].includes(what.case);
      const about = custody ? await heads(ledger, unit) : {};
      const envelope = await sign(messages, origin, buyerKey(secret), { ...about, body: what });
      const { receipt } = await ledger.submit({ envelope });
      say('ok', t(`已记入日志第 ${receipt.logIndex} 条。`, `Written into the log as entry ${receipt.logIndex}.`));
      form.reset();
      show();
    } catch (error) {
      const { message, reason } = refusal(error);
      say('no', `${message}${reason && !(error instanceof TypeError) && error.name === 'ConnectError' ? ` (${reason})` : ''}`);
    } finally {
      button.disabled = false;
    }
  });
}

