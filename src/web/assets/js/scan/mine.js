// The courier's own things: place, plain waybill numbers, the key, the score and how to object to it.

import { byId, hex, make, t } from './lang.js';
import { offset } from './clock.js';
import { fits, REGIONS, setPlace, settings } from './place.js';
import { forget, recall, remember } from './store.js';

async function placeForm() {
  const form = byId('place-form');
  const said = byId('place-said');
  const place = await settings();
  const region = form.elements.region;
  if (region.options.length === 1) region.append(...REGIONS.map(([code, zh, en]) => make('option', { value: code }, `${t(zh, en)} ${code}`)));
  region.value = place.region;
  form.elements.city.value = place.city;
  form.elements.geolocation.checked = place.geolocation ?? false;
  form.elements.carrier.value = (await recall('carrier')) ?? '';
  form.onsubmit = async (event) => {
    event.preventDefault();
    const carrier = form.elements.carrier.value.trim().toLowerCase();
    const city = form.elements.city.value.trim();
    said.className = 'check-result no';
    if (!fits(city)) {
      said.textContent = t('城市名太长。', 'The city’s name is too long.');
      return;
    }
    if (carrier && !/^[a-z0-9_]{2,16}$/.test(carrier)) {
      said.textContent = t('快递代码只含小写字母、数字和下划线，如 sf。', 'A carrier’s code has small letters, digits and _, such as sf.');
      return;
    }
    await remember('carrier', carrier);
    await setPlace({ city, region: region.value, geolocation: form.elements.geolocation.checked });
    said.className = 'check-result ok';
    said.textContent = t('已保存。', 'Saved.');
  };
}

const fact = (name, value) => make('div', {}, make('dt', {}, name), make('dd', {}, value));

async function keyFacts(app) {
  const { party, partyName, keyId } = app.enrolled;
  const seconds = Math.round((await offset()) / 1000);
  const facts = [
    fact(t('企业', 'Firm'), `${partyName} (${party})`),
    fact(t('本机密钥编号', 'Id of this phone’s key'), make('code', {}, hex(keyId))),
    fact(t('手机时钟', 'This phone’s clock'), seconds ? t(`与账本相差 ${seconds} 秒，已自动修正`, `${seconds} s from the ledger’s; made up for`) : t('准确', 'right')),
  ];
  byId('key-facts').replaceChildren(...facts);
}

function score(app) {
  const { party, keyId } = app.enrolled;
  byId('score-command').textContent = `custody credit score ${party} --employee ${hex(keyId)} --key firm.key`;
}

/** Gives up the key for another, as when it ends. What it signed has to be sent first. */
function leaving(app) {
  byId('leave').onclick = async () => {
    if (app.unsent) {
      byId('leave-said').textContent = t('还有未发送的记录，请先联网发送。', 'Something is not sent yet; get online first.');
    } else if (confirm(t('本机现有密钥将作废，需要新的加入码。继续？', 'This phone’s key is given up, and you need a new code. Go on?'))) {
      await Promise.all([forget('key'), forget('enrolled'), forget('pending')]);
      location.reload();
    }
  };
}

export async function showMine(app) {
  await placeForm();
  await keyFacts(app);
  score(app);
  leaving(app);
}
