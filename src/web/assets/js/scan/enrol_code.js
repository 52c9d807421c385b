// What the phone and the firm's administrator prove to each other by the code of an enrolment: both know
// 128 bits, of which the ledger sees none.

import { hmac, sha256 } from '../../vendor/ed25519.js';
import { pae } from '../sign.js';
import { hex } from './lang.js';

const POSSESSION_TYPE = 'application/vnd.custody.key-possession.v1';
const utf8 = (text) => new TextEncoder().encode(text);
const join = (text, bytes) => Uint8Array.of(...utf8(text), ...bytes);

/** Where both meet: names the code, and does not tell it. */
export const room = (secret) => hex(sha256(join('custody enrolment room v1\0', secret))).slice(0, 32);

/** Says that the party's id comes from who made the code. */
export const partyMac = (secret, party) => hmac(sha256, secret, join('custody enrolment party v1\0', utf8(party)));

/** Says that the key comes from who was given the code. */
export const keyMac = (secret, publicKey) => hmac(sha256, secret, join('custody enrolment key v1\0', publicKey));

/** What the new key signs to show that its private half is there. */
export const possession = (origin, party) => pae(POSSESSION_TYPE, utf8(`${origin}\0${party}`));

export const toBase64 = (bytes) => btoa(String.fromCharCode(...bytes));
export const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
