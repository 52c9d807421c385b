// What becomes of acts at the desk when something goes wrong on the way: no answer, a refusal, a stream that is no
// stream any more, a key that is to be replaced.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DESK, administrator, login, official, open } from './desk.mjs';

test('given no answer to a record, when it is signed again, then the same envelope is sent, with the same secret', async () => {
  const { page, sign, close } = await official();
  await page.goto(`${DESK}/inspections`);
  await page.click('details:has(#announce) > summary');
  await page.locator('#announce input[name=inspectors]').first().check();
  const sent = [];
  let mode = 'lose';
  await page.route('**/custody.v1.LedgerService/Submit', async (route) => {
    sent.push(route.request().postDataBuffer().toString('hex'));
    if (mode === 'lose') { await route.fetch(); return route.abort(); }
    if (mode === '502') return route.fulfill({ status: 502, body: 'bad gateway' });
    return route.continue();
  });
  const rates = Object.fromEntries(['a', 'b', 'c', 'd', 'unrated'].map((tier) => [`rates.${tier}`, '1000']));
  await sign('#announce', { document: 'R 2', legalBasis: 'Law 2', role: 'ROLE_COURIER', ...rates });
  await page.locator('#announce .result', { hasText: 'Press again' }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Sign', 'focus is back');
  mode = '502';
  await sign('#announce');
  await page.waitForFunction(() => /502/.test(document.querySelector('#announce .result').textContent));
  mode = 'pass';
  await sign('#announce');
  await page.locator('#announce .result code').waitFor();
  assert.equal(sent.length, 3);
  assert.equal(new Set(sent).size, 1, 'one envelope');
  assert.equal(await page.locator('#announce button').isDisabled(), true, 'not signed twice');
  await close();
});

test('given a record that is refused, when it is signed again, then it is another one; Escape signs nothing', async () => {
  const { page, close } = await official();
  await page.goto(`${DESK}/cases?show=all`);
  const sent = [];
  page.on('request', (request) => { if (request.url().endsWith('/Submit')) sent.push(request.postDataBuffer().toString('hex')); });
  const form = page.locator('form[data-act=openCase]');
  await page.locator('details:has(form[data-act=openCase]) > summary').click();
  await form.locator('[name=document]').fill('D 1');
  await form.locator('[name="grounds.findings"]').fill('99999999');
  await form.locator('button').click();
  await page.locator('dialog.sign[open]').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.value), 'no', 'Cancel has the focus');
  await page.keyboard.press('Escape');
  await page.locator('dialog.sign').waitFor({ state: 'detached' });
  assert.equal(sent.length, 0);
  assert.equal(await page.evaluate(() => document.activeElement.closest('form')?.dataset.act), 'openCase');
  for (let i = 0; i < 2; i += 1) {
    await form.locator('button').click();
    await page.locator('dialog.sign[open] button.sign').click();
    await page.locator('dialog.sign').waitFor({ state: 'detached' });
    await form.locator('.result', { hasText: /[A-Z_]{4,}/ }).waitFor();
  }
  assert.equal(new Set(sent).size, 2);
  await close();
});

test('given a browser with a key, when a link offers another, then it keeps its own until that is forgotten', async () => {
  const { page, close } = await official();
  const { link, leave } = await administrator();
  await page.goto(`${DESK}/key`);
  await page.waitForSelector('#key[data-state=enrolled]');
  const number = await page.textContent('#key .key');
  await page.evaluate((hash) => { location.hash = hash; }, new URL(link).hash);
  await page.locator('#key .notice-line.maybe').waitFor();
  assert.equal(await page.textContent('#key .key'), number);
  assert.equal(new URL(page.url()).hash, '');
  // Forgotten, it is enrolled anew under another number; the ledger is not asked meanwhile.
  await page.click('#key button');
  await page.waitForSelector('#key[data-state=none]');
  await page.route('**/custody.v1.LedgerService/Submit', (route) => route.abort());
  await page.evaluate((hash) => { location.hash = hash; }, new URL(link).hash);
  await page.waitForSelector('#key[data-state=waiting]');
  assert.match(await page.textContent('#key'), /uscc:91350100M000100Y43/);
  assert.notEqual(await page.textContent('#key .key'), number);
  await page.click('#key button');
  await page.waitForSelector('#key[data-state=none]');
  await page.unroute('**/custody.v1.LedgerService/Submit');
  await page.reload();
  await page.waitForSelector('#key[data-state=none]');
  leave();
  await close();
});

test('given a clock that is an hour ahead, when the desk is opened, then the session has not ended', async () => {
  const { page, close } = await open();
  await login(page);
  await page.clock.install({ time: Date.now() + 3_700_000 });
  await page.goto(`${DESK}/log`);
  await page.waitForFunction(() => document.getElementById('session-until').textContent);
  assert.equal(await page.locator('#session-note').isVisible(), false, await page.textContent('#session-note'));
  await close();
});

test('given a stream that is none any more, when the list is open, then it says how to go on', async () => {
  const { page, close } = await open();
  await login(page);
  await page.route('**/desk/alerts/stream**', (route) => route.fulfill({ status: 303, headers: { location: '/desk/login' } }));
  await page.goto(`${DESK}/alerts?state=all`);
  await page.locator('#live-state a').waitFor();
  assert.match(await page.getAttribute('#live-state a', 'href'), /^\/desk\/login/);
  await close();
});
