// Logs in with the key that this browser holds, if it holds one.

import { measure } from '../scan/clock.js';
import { inWords, t } from '../scan/lang.js';
import { deskKey, keyNumber, token } from './key.js';

const byKey = document.getElementById('by-key');
const form = document.getElementById('login');

const key = await deskKey().catch(() => null);
if (key) {
  byKey.hidden = false;
  byKey.querySelector('.who').textContent = `${key.partyName} · ${t('密钥编号', 'key')} ${keyNumber(key)}`;
  byKey.querySelector('button').addEventListener('click', async (event) => {
    event.target.disabled = true;
    try {
      await measure();
      form.elements.token.value = await token(key, { origin: document.body.dataset.origin });
      form.submit();
    } catch (error) {
      byKey.querySelector('.result').textContent = inWords(error);
      event.target.disabled = false;
    }
  });
}
