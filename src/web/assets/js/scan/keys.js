// The key of this device: made here, and of no use elsewhere, since its private half can't be taken out.

import { getPublicKey, sha256 } from '../../vendor/ed25519.js';
import { keyId } from '../sign.js';
import { Wrong } from './lang.js';
import { recall, remember } from './store.js';

// RFC 8410: the frame of an Ed25519 private key.
const PKCS8 = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20);
const BUYER_DOMAIN = 'custody buyer key v1\0';

const signs = (privateKey) => async (bytes) => new Uint8Array(await crypto.subtle.sign('Ed25519', privateKey, bytes));

/** What stands in the way of a key on this device, if anything does. */
export async function obstacle() {
  if (!globalThis.isSecureContext || !globalThis.crypto?.subtle) {
    return new Wrong(
      '此页面未经 HTTPS 打开，浏览器不提供签名功能。请用 https:// 开头的地址打开。',
      'This page was not opened over HTTPS, so the browser offers no signing. Open it by its https:// address.',
    );
  }
  try {
    await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify']);
    return null;
  } catch {
    return new Wrong(
      '此浏览器不支持 Ed25519 签名，请更新浏览器（Chrome 137、Safari 17、Firefox 129 或更新版本）。',
      'This browser can’t sign with Ed25519. Update it: Chrome 137, Safari 17, Firefox 129 or newer.',
    );
  }
}

function asSigner({ publicKey, privateKey }) {
  return { publicKey, keyId: keyId(publicKey), sign: signs(privateKey) };
}

/** The device's key, made when there is none; the scanner's, and the desk's, each under a name of its own. */
export async function deviceKey(name = 'key') {
  const kept = await recall(name);
  if (kept) return asSigner(kept);
  const pair = await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify']);
  const publicKey = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
  await remember(name, { publicKey, privateKey: pair.privateKey });
  return asSigner({ publicKey, privateKey: pair.privateKey });
}

/**
 * A buyer's key in a form that may wait in the outbox: it signs, and its secret can't be read from it again.
 * (src/core/buyer.rs says how the key follows from the secret.)
 */
export async function buyerForOutbox(secret) {
  const seed = sha256(Uint8Array.of(...new TextEncoder().encode(BUYER_DOMAIN), ...secret));
  const privateKey = await crypto.subtle.importKey('pkcs8', Uint8Array.of(...PKCS8, ...seed), 'Ed25519', false, ['sign']);
  return { publicKey: getPublicKey(seed), privateKey };
}

export const buyerSigner = asSigner;
