// A regulator at the desk, as the tests need one: a browser that is logged in, with a key or without.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, before } from 'node:test';
import { SIZES, browser, listen } from '../../tools/web/look.mjs';
import { PAGES, custody, file, program } from './trade.mjs';

export const REGULATOR = file('regulator.key');
export const DESK = `${PAGES}/desk`;

let chromium;
before(async () => { chromium = await browser(); });
after(() => chromium.close());

export const token = () => custody('token', '--key', REGULATOR).trim();

export async function open({ lang = 'en-GB', size = 'desk', ...more } = {}) {
  const context = await chromium.newContext({ ...SIZES[size], locale: lang, timezoneId: 'Asia/Shanghai', ...more });
  const page = await context.newPage();
  page.on('dialog', (dialog) => dialog.accept());
  const wrong = listen(page);
  return { context, page, wrong, close: () => context.close() };
}

export async function login(page) {
  await page.goto(DESK);
  assert.equal(new URL(page.url()).pathname, '/desk/login');
  await page.fill('#token', token());
  await page.click('#login button');
  await page.waitForURL(DESK);
}

/** An administrator who shows a code: the link of it, and how the program ended. */
export async function administrator() {
  const enrolling = spawn(program, ['enrol', '--full', '--key', REGULATOR, '--pages', PAGES, '--json', '--yes'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => { enrolling.on('exit', resolve); });
  const lines = createInterface({ input: enrolling.stdout })[Symbol.asyncIterator]();
  const { link } = JSON.parse((await lines.next()).value);
  return { link, ended, leave: () => enrolling.kill() };
}

/** Gives the browser a key of the regulator's. */
async function enrol(page) {
  const { link, ended } = await administrator();
  await page.goto(link);
  await page.waitForSelector('#key[data-state=enrolled]', { timeout: 30_000 });
  assert.equal(await ended, 0);
  assert.equal(new URL(page.url()).hash, '', 'the code is not left in the address bar');
}

/** A desk with a session, opened by the key in the browser, that can sign. */
export async function official(options) {
  const desk = await open(options);
  await enrol(desk.page);
  await desk.page.goto(`${DESK}/login`);
  await desk.page.click('#by-key:not([hidden]) button');
  await desk.page.waitForURL(DESK);
  /** Fills a form, looks at what is signed, and signs. */
  const sign = async (form, fields = {}, { quick = false } = {}) => {
    const { page } = desk;
    const within = page.locator(form);
    const folded = page.locator(`details:not([open]):has(${form}) > summary`);
    if (await folded.count()) await folded.first().click();
    for (const [name, value] of Object.entries(fields)) {
      const field = within.locator(`[name="${name}"]`).first();
      const kind = await field.evaluate((element) => (element.type === 'radio' ? 'radio' : element.type === 'file' ? 'file' : element.tagName));
      if (kind === 'radio') await within.locator(`[name="${name}"][value="${value}"]`).check();
      else if (kind === 'file') await field.setInputFiles({ name: 'a.pdf', mimeType: 'application/pdf', buffer: Buffer.from(value) });
      else if (kind === 'SELECT') await field.selectOption(value);
      else await field.fill(value);
    }
    await within.locator('button').last().click();
    if (!quick) await page.locator('dialog.sign[open] button.sign').click();
  };
  return { ...desk, sign };
}

/** The address of an alert about a unit. */
export async function alertOf(page, unit) {
  await page.goto(`${DESK}/alerts?unit=${encodeURIComponent(unit)}`);
  return page.getAttribute('#live li .headline a', 'href');
}

