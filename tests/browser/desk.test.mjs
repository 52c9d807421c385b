// The regulator's desk in a real browser: a login, an alert that arrives by itself, a case from an alert to its
// decision, a listing from its proposal to its exit, and who is kept out.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { barriers, misfits } from '../../tools/web/look.mjs';
import { DESK, alertOf, login, official, open, token } from './desk.mjs';
import { PAGES, custody, file, samples, trade } from './trade.mjs';

const MAKER = 'gln:6901234000009';
const COURIER = 'uscc:91440300708461136T';

let firm;
before(() => {
  firm = trade({ maker: MAKER, courier: COURIER, gtin: '06901234000016' });
});

test('given a token, when a regulator logs in, then the session is the server’s and ends with the logout', async () => {
  const { page, context, wrong, close } = await open();
  await login(page);
  const [session] = (await context.cookies(DESK)).filter(({ name }) => name === 'desk');
  assert.deepEqual([session.httpOnly, session.sameSite, session.path], [true, 'Strict', '/desk']);
  assert.ok(session.expires - Date.now() / 1000 <= 3600, 'an hour at most');
  assert.ok(!session.value.includes('v4.public'), 'the token stays on the server');
  assert.equal(await page.evaluate(() => document.cookie.includes('desk=')), false);
  await page.click('.who button');
  await page.waitForURL(`${DESK}/login`);
  await context.addCookies([session]);
  await page.goto(`${DESK}/alerts`);
  assert.equal(new URL(page.url()).pathname, '/desk/login', 'the old name opens nothing');
  assert.equal(new URL(page.url()).searchParams.get('to'), '/desk/alerts');
  assert.deepEqual(wrong, []);
  await close();
});

test('given a token of somebody else, when it is used to log in, then the desk stays shut', async () => {
  const { page, close } = await open();
  for (const text of ['nonsense', custody('token', '--key', firm.keyOf(COURIER)).trim(), token().slice(0, -2)]) {
    await page.goto(`${DESK}/login`);
    await page.fill('#token', text);
    await page.click('#login button');
    await page.waitForSelector('[role=alert]');
    await page.goto(DESK);
    assert.equal(new URL(page.url()).pathname, '/desk/login');
  }
  await close();
});

test('given a session, when another site posts to the desk, then it is refused', async () => {
  const { page, context, close } = await open();
  await login(page);
  for (const headers of [{ 'sec-fetch-site': 'cross-site' }, { origin: 'https://evil.example' }, {}]) {
    const answer = await context.request.post(`${DESK}/logout`, { headers, maxRedirects: 0 });
    assert.equal(answer.status(), 403, JSON.stringify(headers));
  }
  await page.goto(DESK);
  assert.equal(page.url(), DESK, 'and the session goes on');
  await close();
});

test('given any page of the desk, when it is opened, then it fits and nothing bars the way', async () => {
  const goods = samples();
  const regulator = 'uscc:91350100M000100Y43';
  const paths = ['', '/alerts', '/alerts?state=all', '/search', '/search?from=2020-01-01&region=CN', '/parties', `/parties/${regulator}`,
    `/units/${encodeURIComponent(goods.get('BROKEN'))}`, `/units/${encodeURIComponent(goods.get('DELIVERED'))}`, '/cases?show=all', '/lists',
    '/lists/propose', '/objections', '/inspections', '/reports', '/entries', '/entries/0', '/entries/200', '/log', '/key', '/login', '/nowhere'];
  for (const [lang, size, colorScheme] of [['zh-CN', 'desk', 'light'], ['en-GB', 'phone', 'dark']]) {
    const { page, wrong, close } = await open({ lang, size, colorScheme });
    await login(page);
    const [listing] = await page.goto(`${DESK}/lists`).then(() => page.$$eval('table a[href^="/desk/lists/"]', (links) => links.map((link) => link.getAttribute('href'))));
    const [alert] = await page.goto(`${DESK}/alerts`).then(() => page.$$eval('#live .headline a', (links) => links.map((link) => link.getAttribute('href'))));
    for (const path of [...paths.map((path) => `/desk${path}`), listing, alert].filter(Boolean)) {
      await page.goto(PAGES + path);
      assert.deepEqual(await misfits(page), [], `${path} ${lang} ${size}`);
      assert.deepEqual(await barriers(page), [], `${path} ${lang} ${size}`);
      assert.deepEqual(wrong, [], `${path} ${lang} ${size}`);
    }
    await close();
  }
});

test('given the list of alerts, when goods break a rule, then the alert arrives without a reload', async () => {
  const { page, sign, wrong, close } = await official();
  await page.goto(`${DESK}/alerts`);
  await page.waitForFunction(() => /live/i.test(document.getElementById('live-state').textContent));
  await page.evaluate(() => { window.sameDocument = true; });
  const unit = firm.unit('LIVE-1');
  firm.say(MAKER, unit, { commission: { attributes: { lot: 'L1' } } });
  // The courier never had it.
  firm.say(COURIER, unit, { handover: { to: MAKER } });
  const row = page.locator('#live li', { hasText: 'LIVE-1' });
  await row.waitFor({ timeout: 15_000 });
  assert.match(await row.textContent(), /Not the holder/);
  assert.equal(await page.evaluate(() => window.sameDocument), true);
  const id = await row.getAttribute('id');
  await sign(`#${id} form.act`, {}, { quick: true });
  await page.locator(`#${id}:not([data-open])`, { hasText: 'Acknowledged' }).waitFor({ timeout: 15_000 });
  assert.equal(await page.evaluate(() => window.sameDocument), true, 'the answer arrived by itself too');
  assert.deepEqual(wrong, []);
  await close();
});

test('given an alert, when a case is opened, referred to nobody and closed, then its history says so', async () => {
  const { page, sign, wrong, close } = await official();
  const unit = firm.unit('CASE-1');
  firm.say(MAKER, unit, { commission: { attributes: { lot: 'L1' } } });
  firm.say(COURIER, unit, { handover: { to: MAKER } });
  await page.goto(PAGES + await alertOf(page, unit));
  await sign('form[data-act=openCase]', { kind: 'CASE_KIND_COUNTERFEIT', document: '闽市监立〔2026〕1 号' });
  await page.waitForURL(/\/desk\/cases\/[0-9]+$/);
  assert.match(await page.textContent('main'), /闽市监立〔2026〕1 号/);
  assert.match(await page.textContent('.alerts'), /In a case/);
  await sign('#close-case', { outcome: 'CASE_OUTCOME_PENALTY', legalBasis: '《产品质量法》第五十条', document: '闽市监罚〔2026〕1 号' });
  await page.locator('#state', { hasText: 'Penalty' }).waitFor();
  assert.match(await page.textContent('.timeline'), /Opened[\s\S]*Closed/);
  assert.deepEqual(wrong, []);
  await close();
});

test('given a firm, when it is black-listed, heard, published and objects, then the listing ends', async () => {
  const { page, sign, wrong, close } = await official({ lang: 'zh-CN' });
  const phase = (name) => page.locator(`#phase[data-phase=LISTING_PHASE_${name}]`).waitFor({ timeout: 15_000 });
  const own = firm.keyOf(COURIER);
  const log = file('log.vkey'); // any file will do
  await page.goto(`${DESK}/lists/propose?subject=${encodeURIComponent(COURIER)}`);
  await sign('#propose', {
    list: 'LIST_KIND_BLACK', severity: 'CREDIT_SEVERITY_ORDINARY', reason: '多次虚假签收', legalBasis: '《快递暂行条例》', document: '闽信〔2026〕7 号',
  });
  await page.waitForURL(/\/desk\/lists\/[0-9]+$/);
  const number = page.url().split('/').at(-1);
  await phase('PROPOSED');
  await sign('#notify', { document: '闽信告〔2026〕7 号', notice: 'the notice' });
  await phase('NOTIFIED');
  assert.equal(await page.locator('#decide').count(), 0, 'the firm is heard first');
  custody('listing', 'state', '--key', own, number, '--text', '已整改', '--statement', log);
  await page.reload();
  await sign('#decide', { severity: 'CREDIT_SEVERITY_ORDINARY', months: '3', document: '闽信决〔2026〕7 号' });
  await phase('DECIDED');
  await sign('#publish');
  await phase('IN_FORCE');
  custody('listing', 'object', '--key', own, number, '--reason', '事实有误', '--statement', log);
  await page.goto(`${DESK}/objections`);
  await page.click(`a[href="/desk/lists/${number}"]`);
  await sign('#answer-objection', { answer: 'ANSWER_GRANTED', document: '闽信复〔2026〕7 号' });
  await phase('ANNULLED');
  assert.match(await page.textContent('main'), /异议成立/);
  assert.deepEqual(wrong, []);
  await close();
});

test('given a party’s file, when a regulator says why, then it opens, and who read it is there to see', async () => {
  const { page, sign, wrong, close } = await official();
  await page.goto(`${DESK}/parties/${encodeURIComponent(MAKER)}`);
  assert.equal(await page.locator('text=The file is empty.').count(), 0);
  await sign('#open-file', { purpose: 'A test of the file', document: 'F 1' });
  await page.locator('text=A test of the file').waitFor({ timeout: 15_000 });
  await sign('form[data-act=addCreditRecord]', {
    kind: 'CREDIT_RECORD_KIND_PENALTY', severity: 'CREDIT_SEVERITY_ORDINARY', text: 'No labels', legalBasis: 'Law 1', document: 'P 1', date: '2026-10-01',
  });
  await page.locator('td', { hasText: 'No labels' }).waitFor({ timeout: 15_000 });
  assert.deepEqual(wrong, []);
  await close();
});

test('given a plan of inspections, when its lot is drawn and a result recorded, then the secret was kept here', async () => {
  const { page, sign, wrong, close } = await official();
  await page.goto(`${DESK}/inspections`);
  await page.click('details:has(#announce) > summary');
  await page.locator('#announce input[name=inspectors]').first().check();
  const rates = Object.fromEntries(['a', 'b', 'c', 'd', 'unrated'].map((tier) => [`rates.${tier}`, '1000']));
  await sign('#announce', { document: 'R 1', legalBasis: 'Law 2', role: 'ROLE_COURIER', ...rates });
  const secret = await page.locator('#announce .result code').textContent();
  assert.match(secret, /^[0-9a-f]{64}$/);
  await page.goto(PAGES + (await page.locator('#announce .result a').getAttribute('href')).replace('entries', 'inspections'));
  assert.equal(await page.inputValue('[name=secret]'), secret, 'the browser kept it');
  await page.locator('main form[method=post] button').click();
  await sign('#draw');
  await page.locator('#result-1').waitFor({ state: 'attached', timeout: 15_000 });
  await sign('#result-1', { result: 'INSPECTION_OUTCOME_PASSED', date: '2026-11-20', document: 'B 1', report: 'the report' });
  await page.locator('b', { hasText: 'Nothing found' }).waitFor({ timeout: 15_000 });
  assert.deepEqual(wrong, []);
  await close();
});

test('given a listing whose facts must stay erasable, when it is proposed, then the log holds a commitment only', async () => {
  const { page, sign, wrong, close } = await official();
  await page.goto(`${DESK}/lists/propose?subject=${encodeURIComponent(COURIER)}`);
  await page.check('.private-switch');
  await sign('#propose', {
    list: 'LIST_KIND_BLACK', severity: 'CREDIT_SEVERITY_MINOR', reason: 'a secret reason', legalBasis: 'Law 3', document: 'M 1',
  });
  await page.waitForURL(/\/desk\/lists\/[0-9]+$/);
  const number = page.url().split('/').at(-1);
  assert.match(await page.textContent('main'), /not in the log/);
  await page.goto(`${DESK}/entries/${number}`);
  const record = await page.textContent('pre');
  assert.match(record, /reasonCommitment/);
  assert.ok(!record.includes('a secret reason'));
  assert.deepEqual(wrong, []);
  await close();
});

test('given a browser without a key, when a form is shown, then it says how to get one and signs nothing', async () => {
  const { page, close } = await open();
  await login(page);
  await page.goto(`${DESK}/lists/propose`);
  assert.equal(await page.locator('#propose button').isDisabled(), true);
  assert.match(await page.textContent('#propose .result'), /holds no signing key/);
  await close();
});

test('given the reports, when one is made, then it is fetched with its signature, and the program verifies it', async () => {
  const { page, context, wrong, close } = await open();
  await login(page);
  for (const format of ['REPORT_FORMAT_CSV', 'REPORT_FORMAT_PDF']) {
    await page.goto(`${DESK}/reports`);
    await page.check('[value=REPORT_KIND_COURIERS]');
    await page.selectOption('[name=format]', format);
    await page.click('#make button');
    await page.waitForSelector('#made');
    const links = await page.$$eval('#made a', (links) => links.map((link) => link.getAttribute('href')));
    const paths = [];
    for (const link of links) {
      const answer = await context.request.get(PAGES + link);
      assert.match(answer.headers()['content-disposition'], /^attachment/);
      paths.push(file(link.split('/').at(-1)));
      writeFileSync(paths.at(-1), await answer.body());
    }
    assert.match(custody('report', 'verify', paths[0], '--trust', file('log.vkey')), /^ok: couriers/);
  }
  assert.deepEqual(wrong, []);
  await close();
});
