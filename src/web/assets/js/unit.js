// The page of a unit, beyond what works without scripts: local times, the self-check, what a buyer can do.

import './place_time.js';
import { selfCheck } from './self_check.js';

const checks = document.getElementById('checks');
if (checks) selfCheck(checks, document.getElementById('check-result'));

const acts = document.getElementById('acts');
if (acts) {
  acts.hidden = false;
  const form = document.getElementById('buyer');
  // The key may come in the fragment of the link, which browsers don't send.
  const secret = /^#k=([0-9A-Za-z-]{26,64})$/.exec(location.hash)?.[1];
  if (secret) {
    form.elements.secret.value = secret;
    history.replaceState(null, '', location.pathname + location.search);
  }
  // What signs and sends is large; it comes when somebody begins to use it.
  const begin = () => import('./buyer.js').then(({ attend }) => attend(acts, form));
  if (secret) begin();
  else form.addEventListener('focusin', begin, { once: true });
}
