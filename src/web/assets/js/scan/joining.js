// The view of the enrolment: the code, then both sides compare the key and the firm confirms.

import { readEnrolment } from './codes.js';
import { awaitKey, offerKey, pendingEnrolment } from './enrol.js';
import { byId, hex, inWords } from './lang.js';
import { watchCamera } from './camera.js';

/** Shows the view until the device belongs to a firm; `done` is called then. */
export function startJoining(app, done) {
  const form = byId('enrol-form');
  const wait = byId('enrol-wait');
  const said = byId('enrol-said');
  const video = byId('enrol-video');
  let round = 0;

  const say = (text) => {
    said.className = 'check-result no';
    said.textContent = text;
  };

  async function pend(pending) {
    round += 1;
    const mine = round;
    form.hidden = true;
    wait.hidden = false;
    byId('enrol-party').textContent = `${pending.partyName} (${pending.party})`;
    byId('enrol-key').textContent = hex(app.signer.keyId).slice(0, 8);
    try {
      const enrolled = await awaitKey(app, pending, { cancelled: () => mine !== round });
      if (enrolled) done(enrolled);
    } catch (error) {
      say(inWords(error));
      form.hidden = false;
      wait.hidden = true;
    }
  }

  async function join(code) {
    const button = form.querySelector('button');
    button.disabled = true;
    said.textContent = '';
    try {
      await pend(await offerKey(app, code));
    } catch (error) {
      say(inWords(error));
    } finally {
      button.disabled = false;
    }
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    join(form.elements.enrol.value);
  });
  byId('enrol-again').addEventListener('click', () => {
    round += 1;
    form.hidden = false;
    wait.hidden = true;
  });
  byId('enrol-camera').addEventListener('click', async () => {
    try {
      video.hidden = false;
      const camera = await watchCamera(video, (code) => {
        camera.stop();
        video.hidden = true;
        form.elements.enrol.value = readEnrolment(code);
        join(code);
      });
    } catch (error) {
      video.hidden = true;
      say(inWords(error));
    }
  });

  return async () => {
    // The code comes in the fragment of the link, which browsers don't send.
    const code = /^#enrol=([0-9A-Za-z-]{26,64})$/.exec(location.hash)?.[1];
    if (code) history.replaceState(null, '', location.pathname + location.search);
    const pending = await pendingEnrolment();
    if (code) {
      form.elements.enrol.value = code;
      await join(code);
    } else if (pending) {
      await pend(pending);
    }
  };
}
