// The large panel that tells what became of the last scan: colour, sign, word, sentence.

import { nameOf } from './actions.js';
import { brief } from './codes.js';
import { byId, inWords, make, t } from './lang.js';
import { signal } from './signal.js';
import { shown } from './verdicts.js';

const SHADES = { good: 'consistent', amber: 'suspect', bad: 'broken', wait: 'transit', ask: 'unknown' };

function paint(colour, sign, word, sentence, unit, detail) {
  const panel = byId('outcome');
  panel.className = `verdict outcome ${SHADES[colour]}`;
  panel.dataset.colour = colour;
  const texts = [make('p', { class: 'word' }, word), make('p', { class: 'sentence' }, sentence)];
  if (unit) texts.push(make('p', { class: 'unit' }, unit));
  if (detail) texts.push(make('p', { class: 'unit' }, detail));
  panel.replaceChildren(make('span', { class: 'mark', 'aria-hidden': 'true' }, sign), make('div', {}, ...texts));
}

let last;

/** Shows a row; the same row again when it was answered. */
export function showRow(row) {
  last = row.seq;
  const { colour, sign, word, sentence, detail } = shown(row);
  paint(colour, sign, word, sentence, `${nameOf(row.action)} · ${brief(row.unit)}`, detail);
}

export function updateRow(row) {
  if (row.seq === last) showRow(row);
}

/** Shows that something was not understood: nothing was recorded. */
export function showWrong(error) {
  last = undefined;
  paint('bad', '✗', t('未记录', 'Not recorded'), inWords(error));
  signal('bad');
}

/** Asks for what comes next. */
export function showAsk(word, sentence, unit) {
  last = undefined;
  paint('ask', '?', word, sentence, unit);
}

/** Shows what was scanned already: nothing is recorded twice. */
export function showAgain(unit) {
  last = undefined;
  paint('amber', '=', t('已扫过', 'Scanned already'), t('本批次中已有此件，未重复记录。', 'It is in this batch; nothing was recorded twice.'), brief(unit));
  signal('amber');
}
