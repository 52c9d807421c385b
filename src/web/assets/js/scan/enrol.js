// Joins a firm by a code that its administrator shows: the key is made here, and the firm delegates to it.

import { offset } from './clock.js';
import { readEnrolment } from './codes.js';
import { fromBase64, keyMac, partyMac, possession, room, toBase64 } from './enrol_code.js';
import { equal, Wrong } from './lang.js';
import { meaning } from './ledger.js';
import { forget, recall, remember } from './store.js';
import { readSecret } from '../buyer_key.js';
import { sign } from '../sign.js';

const POLL_MS = 2000;
const PATIENCE_MS = 600_000;

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(15_000), ...options });
  } catch {
    throw new Wrong('没有网络，请联网后重试。', 'There is no network; try again when there is.');
  }
  if (response.status === 404) throw new Wrong('加入码有误或已过期，请向管理员索取新码。', 'The code is wrong or has expired; ask for a new one.');
  if (response.status === 409) throw new Wrong('此加入码已被另一部手机使用，请索取新码。', 'Another phone has used this code; ask for a new one.');
  if (!response.ok) throw new Wrong(`服务器出错（${response.status}），请重试。`, `The server failed (${response.status}); try again.`);
  return response;
}

/** Offers this device's key to the firm behind a code. */
export async function offerKey(app, code) {
  const secret = readSecret(readEnrolment(code));
  if (!secret) throw new Wrong('加入码应为 26 位字母和数字。', 'The code has 26 letters and digits.');
  const path = `/scan/enrol/${room(secret)}`;
  const { party, partyName, mac } = await (await call(path)).json();
  if (!equal(fromBase64(mac), partyMac(secret, party))) {
    throw new Wrong('企业身份与加入码不符，已停止。请联系管理员。', 'The firm does not fit the code, so nothing was sent. Ask your administrator.');
  }
  const { publicKey, sign } = app.signer;
  const said = {
    publicKey: toBase64(publicKey),
    possession: toBase64(await sign(possession(app.origin, party))),
    mac: toBase64(keyMac(secret, publicKey)),
  };
  await call(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(said) });
  const pending = { party, partyName, since: Date.now() };
  await remember(`${app.prefix ?? ''}pending`, pending);
  return pending;
}

/**
 * Whether the ledger takes what this key signs. Whose a delegated key is, or that it is one, the ledger tells
 * nobody; so the key asks for itself, with a record that is refused either way: it corrects a record that
 * can't be there.
 */
async function isInUse(app) {
  const draft = {
    units: [{ id: '00/000000000000000000', prev: new Uint8Array() }],
    body: { case: 'correct', value: { recordId: new Uint8Array(32), reason: '' } },
  };
  const envelope = await sign(app.messages, app.origin, app.signer, draft, { offset: await offset() });
  try {
    await app.ledger.submit(app.messages.encode('Envelope', envelope));
    return true;
  } catch (error) {
    return meaning(error).reason === 'NOT_FOUND';
  }
}

/** Waits until the ledger has the key in use; then the device belongs to the firm. */
export async function awaitKey(app, pending, { cancelled }) {
  const { keyId, publicKey } = app.signer;
  while (!cancelled()) {
    const inUse = await isInUse(app);
    // Given up while the ledger was asked.
    if (cancelled()) break;
    if (inUse) {
      const enrolled = { party: pending.party, partyName: pending.partyName, keyId, publicKey };
      await remember(`${app.prefix ?? ''}enrolled`, enrolled);
      await forget(`${app.prefix ?? ''}pending`);
      return enrolled;
    }
    if (Date.now() - pending.since > PATIENCE_MS) {
      await forget(`${app.prefix ?? ''}pending`);
      throw new Wrong('等待已超时，请向管理员索取新码。', 'Nobody confirmed in ten minutes; ask for a new code.');
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return null;
}

export const enrolment = (prefix = '') => recall(`${prefix}enrolled`);
export const pendingEnrolment = (prefix = '') => recall(`${prefix}pending`);
