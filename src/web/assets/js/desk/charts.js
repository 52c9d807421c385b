// Draws a chart from each table that is meant for one. The table stays, folded, for whoever doesn't see charts.

import { uPlot } from '../../vendor/uplot.js';
import { make, t } from '../scan/lang.js';

const HEIGHT = 220;
const DAY_SECONDS = 86_400;
const dark = matchMedia('(prefers-color-scheme: dark)');
const LINES = ['--bad', '--warn', '--accent'];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The numbers of a table: names of the series, and for each its values, the times first. */
function read(table) {
  const names = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent);
  const rows = [...table.tBodies[0].rows];
  const values = [rows.map((row) => Number(row.cells[0].dataset.x)), ...names.map((_, i) => rows.map((row) => Number(row.cells[i + 1].dataset.y)))];
  return { names, values };
}

function draw(figure, place, { names, values }) {
  const bars = figure.dataset.kind === 'bars';
  const axis = () => ({ stroke: colour('--soft'), grid: { stroke: colour('--line'), width: 1 }, ticks: { stroke: colour('--line'), width: 1 } });
  const series = names.map((label, i) => {
    const stroke = colour(bars ? '--accent' : LINES[i % LINES.length]);
    const shape = bars ? { fill: stroke, paths: uPlot.paths.bars({ size: [0.7, 40] }), points: { show: false } } : { width: 2 };
    return { label, stroke, ...shape };
  });
  const lang = document.documentElement.lang;
  const day = new Intl.DateTimeFormat(lang, { month: 'numeric', day: 'numeric', timeZone: 'Asia/Shanghai' });
  return new uPlot({
    width: place.clientWidth,
    height: HEIGHT,
    legend: { show: !bars },
    cursor: { y: false },
    scales: {
      // Room for the halves of the first and the last bar.
      x: { range: (_, least, most) => (bars ? [least - DAY_SECONDS / 2, most + DAY_SECONDS / 2] : [least, most]) },
      y: { range: (_, __, most) => [0, Math.max(1, most * 1.05)] },
    },
    axes: [
      { ...axis(), values: (_, times) => times.map((time) => day.format(time * 1000)) },
      { ...axis(), size: 56, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7] },
    ],
    series: [{ label: t('日期', 'Day'), value: (_, time) => (time ? day.format(time * 1000) : '') }, ...series],
  }, values, place);
}

for (const figure of document.querySelectorAll('figure.chart')) {
  const table = figure.querySelector('table');
  const numbers = read(table);
  const place = make('div', { class: 'plot' });
  const holder = table.parentElement;
  const folded = make('details', {}, make('summary', {}, t('数据', 'The numbers')));
  holder.before(place, folded);
  folded.append(holder);
  let chart = draw(figure, place, numbers);
  const name = figure.querySelector('figcaption').textContent.trim();
  const describe = () => {
    const canvas = place.querySelector('canvas');
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', `${name} (${t('数据见下表', 'the table below has the numbers')})`);
  };
  describe();
  new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
  dark.addEventListener('change', () => {
    chart.destroy();
    chart = draw(figure, place, numbers);
    describe();
  });
}
