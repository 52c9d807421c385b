// Chooses which record of today is corrected. The record stays; the correction explains it.

import { nameOf } from './actions.js';
import { brief } from './codes.js';
import { correctionReason } from './forms.js';
import { clockTime, make, t, Wrong } from './lang.js';
import { today } from './outbox.js';
import { shown } from './verdicts.js';

/** Builds the choice; `write` is given the row and the reason. Gives what picks a row by its unit. */
export async function chooseCorrection(box, write, guarded) {
  const all = await today();
  const corrected = new Set(all.filter((row) => row.action === 'correct').map((row) => row.corrects));
  const rows = all.filter((row) => row.by === 'device' && row.action !== 'correct' && row.state !== 'refused' && !corrected.has(row.seq));
  box.replaceChildren();
  if (!rows.length) {
    box.append(make('p', {}, t('今天没有可更正的记录。', 'There is nothing of today to correct.')));
    return () => undefined;
  }
  const list = make('div', { class: 'picks', role: 'radiogroup', 'aria-label': t('选择记录', 'Choose the record') });
  for (const row of rows) {
    const { sign, colour } = shown(row);
    list.append(make('label', { 'data-colour': colour },
      make('input', { type: 'radio', name: 'row', value: row.seq }),
      make('span', {}, `${sign} ${clockTime(row.at)} ${nameOf(row.action)}`, make('br'), brief(row.unit))));
  }
  box.append(list);
  const reason = correctionReason(box);
  const submit = guarded(async () => {
    const seq = Number(list.querySelector('input:checked')?.value);
    if (!seq) throw new Wrong('请先选择要更正的记录。', 'Choose the record first.');
    await write(rows.find((row) => row.seq === seq), reason());
  });
  box.append(make('button', { type: 'button', class: 'big', id: 'correct', on: { click: submit } }, t('更正所选记录', 'Correct the chosen record')));
  return (unit) => {
    const row = rows.find((one) => one.unit === unit);
    if (!row) throw new Wrong('今天没有关于此件的可更正记录。', 'There is nothing of today about this unit to correct.');
    list.querySelector(`input[value="${row.seq}"]`).checked = true;
  };
}
