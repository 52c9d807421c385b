// The view in which codes are scanned, one after the other, for one action.

import { hintOf, nameOf } from './actions.js';
import { brief, readBuyer, readUnit } from './codes.js';
import { watchCamera } from './camera.js';
import { chooseCorrection } from './correct.js';
import { buildForm } from './forms.js';
import { byId, inWords, make, t, Wrong } from './lang.js';
import { showAgain, showAsk, showRow, showWrong } from './outcome.js';
import { record } from './records.js';
import { allowSound, signal } from './signal.js';
import { recall } from './store.js';
import { listenForCodes } from './wedge.js';
import { buyerKey, readSecret } from '../buyer_key.js';
import { keyId } from '../sign.js';

/** Actions that ask for the buyer's code after the parcel's. */
const NEEDS_BUYER = ['deliver', 'return'];

export function startWork(app) {
  const form = byId('code-form');
  const view = { action: null, read: null, parcel: null, secret: null, batch: new Set(), camera: null };

  const bytes = (text) => Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));

  function extras(...buttons) {
    byId('extras').replaceChildren(...buttons);
  }

  const button = (text, kind, click) => make('button', { type: 'button', class: kind, on: { click: guarded(click) } }, text);

  /** Runs one step after the other; what goes wrong is said, and never becomes a record. */
  let turn = Promise.resolve();
  function guarded(step) {
    return (...given) => {
      allowSound();
      turn = turn.then(() => step(...given)).catch((error) => {
        if (!error.zh) app.fail(error);
        showWrong(error);
      });
      return turn;
    };
  }

  async function write(action, unit, said) {
    const row = await record(app, action, unit, said);
    view.batch.add(`${action} ${unit}`);
    showRow(row);
    signal('wait');
    await app.changed();
    byId('batch').prepend(make('li', { 'data-seq': row.seq, 'data-colour': 'wait' }, `… ${brief(unit)}`));
    app.sync();
  }

  /** The parcel was scanned; the buyer's code comes next. */
  function askForBuyer(unit) {
    view.parcel = unit;
    view.secret = null;
    showAsk(t('扫买家的收货码', 'Scan the buyer’s code'), t('买家手机上的链接、26 位密钥或 32 位密钥编号。', 'The link on the buyer’s phone, the key of 26 letters, or its id of 32 digits.'), brief(unit));
    extras(
      button(t('无收货密钥', 'There is no key'), 'plain', () => finishBuyer({})),
      button(t('取消', 'Cancel'), 'plain', () => begin(view.action)),
    );
  }

  async function finishBuyer({ id, secret }) {
    const [unit, key] = [view.parcel, secret && readSecret(secret)];
    if (secret && !key) throw new Wrong('收货密钥应为 26 位字母和数字。', 'A buyer’s key has 26 letters and digits.');
    if (view.action === 'return' && id) throw new Wrong('退货需要买家的密钥本身，编号不够。', 'A return needs the buyer’s key itself; its id is not enough.');
    const buyerKeyId = key ? keyId(buyerKey(key).publicKey) : id && bytes(id);
    view.parcel = null;
    extras();
    await write(view.action, unit, { buyerKeyId, secret: key });
    if (view.action === 'deliver' && key) {
      extras(button(t('买家在此确认收货', 'The buyer confirms here'), 'big', async () => {
        extras();
        await write('confirm', unit, { secret: key });
      }));
    }
  }

  const onCode = guarded(async (text) => {
    if (view.action === null) return;
    if (view.parcel) {
      const buyer = readBuyer(text);
      if (!buyer) throw new Wrong('这不是买家的收货码，请重扫。', 'This is not a buyer’s code; scan again.');
      await finishBuyer(buyer);
      return;
    }
    const unit = readUnit(text, { carrier: await recall('carrier') });
    if (view.action === 'correct') {
      view.pickUnit(unit);
      return;
    }
    if (view.batch.has(`${view.action} ${unit}`)) {
      showAgain(unit);
      return;
    }
    extras();
    if (NEEDS_BUYER.includes(view.action)) {
      askForBuyer(unit);
      signal('wait');
      // A buyer's link may be the parcel's own, with the key behind it.
      const own = text.includes('#k=') && readBuyer(text);
      if (own) await finishBuyer(own);
      return;
    }
    await write(view.action, unit, await view.read());
  });

  async function begin(action) {
    Object.assign(view, { action, parcel: null, secret: null });
    byId('work-name').textContent = nameOf(action);
    extras();
    showAsk(t('请扫描', 'Scan now'), hintOf(action));
    const box = byId('options');
    if (action === 'correct') {
      view.pickUnit = await chooseCorrection(box, async (row, reason) => {
        await write('correct', row.unit, { corrects: row.seq, reason });
        await begin('correct');
      }, guarded);
    } else {
      view.read = await buildForm(action, box);
    }
    form.elements.code.focus({ preventScroll: true });
  }

  async function toggleCamera() {
    const box = byId('camera');
    if (view.camera) {
      stopCamera();
      return;
    }
    byId('camera-button').disabled = true;
    box.hidden = false;
    try {
      view.camera = await watchCamera(box.querySelector('video'), onCode);
      byId('camera-button').setAttribute('aria-pressed', 'true');
      const torch = byId('torch');
      torch.hidden = !view.camera.torch;
      torch.setAttribute('aria-pressed', 'false');
    } catch (error) {
      box.hidden = true;
      showWrong(error.zh ? error : new Wrong(`无法识别：${inWords(error)}`, inWords(error)));
    } finally {
      byId('camera-button').disabled = false;
    }
  }

  function stopCamera() {
    view.camera?.stop();
    view.camera = null;
    byId('camera').hidden = true;
    byId('camera-button').setAttribute('aria-pressed', 'false');
  }

  listenForCodes(form, byId('keyboard'), onCode);
  byId('camera-button').addEventListener('click', () => {
    allowSound();
    toggleCamera();
  });
  byId('torch').addEventListener('click', async ({ currentTarget }) => {
    const on = currentTarget.getAttribute('aria-pressed') !== 'true';
    await view.camera.torch(on).then(() => currentTarget.setAttribute('aria-pressed', on), () => undefined);
  });

  return {
    open: (action) => {
      view.batch.clear();
      byId('batch').replaceChildren();
      return guarded(begin)(action);
    },
    close: () => {
      stopCamera();
      Object.assign(view, { action: null, parcel: null, secret: null });
    },
  };
}
