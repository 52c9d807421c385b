// What was done today, by action and by colour, and row by row.

import { CHOICES, nameOf } from './actions.js';
import { brief } from './codes.js';
import { byId, clockTime, make, t } from './lang.js';
import { today } from './outbox.js';
import { shown } from './verdicts.js';

const COLOURS = ['good', 'amber', 'bad', 'wait'];
const heads = () => [['✓', t('入账', 'Done')], ['!', t('注意', 'Look')], ['✗', t('未接受', 'No')], ['…', t('待发送', 'Wait')]];

/** Counts of rows by action and colour. */
export function count(rows) {
  const counts = new Map();
  for (const row of rows) {
    const line = counts.get(row.action) ?? { good: 0, amber: 0, bad: 0, wait: 0 };
    line[shown(row).colour] += 1;
    counts.set(row.action, line);
  }
  return counts;
}

const cells = (line) => COLOURS.map((colour) => make('td', { 'data-colour': line[colour] ? colour : null }, String(line[colour])));

function table(rows) {
  const counts = count(rows);
  const all = { good: 0, amber: 0, bad: 0, wait: 0 };
  for (const line of counts.values()) for (const colour of COLOURS) all[colour] += line[colour];
  const order = [...CHOICES, 'confirm'].filter((action) => counts.has(action));
  const head = make('tr', {}, make('td'), ...heads().map(([sign, word]) => make('th', { scope: 'col' }, sign, make('br'), word)));
  const line = (name, values) => make('tr', {}, make('th', { scope: 'row' }, name), ...cells(values));
  return make('table', { class: 'totals' },
    make('thead', {}, head),
    make('tbody', {}, ...order.map((action) => line(nameOf(action), counts.get(action)))),
    make('tfoot', {}, line(t('合计', 'All'), all)));
}

function item(row) {
  const { colour, sign, word, sentence, detail } = shown(row);
  const more = detail ? make('details', {}, make('summary', {}, t('详情', 'Details')), make('code', {}, detail)) : null;
  return make('li', { 'data-colour': colour },
    make('b', {}, `${sign} ${word}`),
    make('p', {}, `${clockTime(row.at)} ${nameOf(row.action)} · ${brief(row.unit)}`),
    make('p', { class: 'small' }, sentence), more);
}

export async function showToday() {
  const rows = await today();
  const box = byId('totals');
  if (!rows.length) box.replaceChildren(make('p', {}, t('今天还没有记录。', 'Nothing was recorded today.')));
  else box.replaceChildren(table(rows));
  byId('rows').replaceChildren(...rows.map(item));
}
