// The page of a unit in a real browser: its verdicts in both languages, what the browser verifies by itself, and
// what a buyer does with the key of the order.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SIZES, barriers, browser, listen, misfits } from '../../tools/web/look.mjs';
import { PAGES, base64, buyer, samples as read, trade } from './trade.mjs';

const samples = read();
let chromium;
before(async () => { chromium = await browser(); });
after(() => chromium.close());

/** Opens a page as a reader of a language would, and ends with what was wrong with it. */
async function open(path, { lang = 'zh-CN', size = 'phone', route, wait = true, ...more } = {}) {
  const context = await chromium.newContext({ ...SIZES[size], locale: lang, timezoneId: 'Asia/Shanghai', ...more });
  const page = await context.newPage();
  const wrong = listen(page);
  if (route) await page.route(...route);
  await page.goto(`${PAGES}/${path}`);
  if (wait) await page.waitForSelector('#checks[data-done]', { timeout: 30_000 });
  return { page, wrong, close: () => context.close() };
}

test('given a clean, a broken, a recalled and an unknown unit, when opened, then both languages say so', async () => {
  const cases = [
    [samples.get('DELIVERED'), '已签收', 'Delivered'],
    [samples.get('BROKEN'), '已断链', 'Chain broken'],
    [samples.get('RECALLED'), '已召回', 'Recalled'],
    ['01/06955302210036/21/NOBODY', '未查到', 'Not found'],
  ];
  for (const [unit, zh, en] of cases) {
    for (const [lang, word] of [['zh-CN', zh], ['en-GB', en]]) {
      for (const size of ['phone', 'desk']) {
        const { page, wrong, close } = await open(unit, { lang, size, wait: unit !== cases.at(-1)[0] });
        assert.equal(await page.textContent('#verdict'), word, unit);
        assert.deepEqual(await misfits(page), [], `${unit} ${lang} ${size}`);
        assert.deepEqual(await barriers(page), [], `${unit} ${lang} ${size}`);
        assert.deepEqual(wrong, [], `${unit} ${lang} ${size}`);
        await close();
      }
    }
  }
});

test('given a dark screen, when a page is opened, then axe finds no barrier either', async () => {
  for (const path of ['', samples.get('SUSPECT'), samples.get('RECALLED')]) {
    const { page, close } = await open(path, { colorScheme: 'dark', wait: path !== '' });
    assert.deepEqual(await barriers(page), [], path);
    await close();
  }
});

test('given a page, when the language is switched, then it stays switched', async () => {
  const { page, close } = await open(samples.get('BROKEN'));
  await page.click('nav a');
  assert.equal(await page.textContent('#verdict'), 'Chain broken');
  await page.goto(`${PAGES}/${samples.get('RECALLED')}`);
  assert.equal(await page.textContent('#verdict'), 'Recalled');
  await close();
});

test('given a bundle as the ledger has it, when the browser verifies it, then every check passes', async () => {
  for (const unit of samples.values()) {
    const { page, close } = await open(unit, { lang: 'en-GB' });
    const states = await page.$$eval('#checks li', (lines) => lines.map((line) => line.className));
    assert.deepEqual(states, ['ok', 'ok', 'ok', 'ok', 'ok'], unit);
    assert.match(await page.textContent('#check-result'), /The proof holds/);
    await close();
  }
});

test('given a bundle that is tampered with in flight, when the browser verifies it, then it says no', async () => {
  const unit = samples.get('RECALLED');
  const tamper = ['**/*?as=bundle', async (route) => {
    const answer = await route.fetch();
    const body = Buffer.from(await answer.body());
    body[Math.floor(body.length / 2)] ^= 1;
    await route.fulfill({ response: answer, body });
  }];
  const { page, close } = await open(unit, { lang: 'en-GB', route: tamper });
  assert.match(await page.textContent('#check-result'), /does not hold/);
  assert.equal(await page.getAttribute('#checks', 'data-done'), 'failed');
  assert.equal(await page.textContent('#verdict'), 'Not proven', 'what the ledger wrote is withdrawn');
  await close();
});

test('given the true bundle of another unit, when it is sent instead, then the browser says no', async () => {
  const other = await fetch(`${PAGES}/${samples.get('BROKEN')}?as=bundle`);
  const body = Buffer.from(await other.arrayBuffer());
  const swap = ['**/*?as=bundle', (route) => route.fulfill({ body, contentType: other.headers.get('content-type') })];
  const { page, close } = await open(samples.get('RECALLED'), { lang: 'en-GB', route: swap });
  assert.match(await page.textContent('#check-result'), /another unit/);
  assert.equal(await page.getAttribute('#checks', 'data-done'), 'failed');
  await close();
});

test('given that the proof can not be had, when the page is opened, then it says plainly that nothing was checked', async () => {
  const drop = ['**/*?as=bundle', (route) => route.fulfill({ status: 503, contentType: 'application/problem+json', body: '{"detail":"too much at once"}' })];
  const { page, close } = await open(samples.get('BROKEN'), { lang: 'en-GB', route: drop });
  assert.match(await page.textContent('#check-result'), /could not check it: too much at once/);
  assert.equal(await page.getAttribute('#checks', 'data-done'), 'impossible');
  await close();
});

test('given no scripts, when a page is opened, then all but the self-check is there', async () => {
  const { page, close } = await open(samples.get('RECALLED'), { javaScriptEnabled: false, wait: false });
  assert.equal(await page.locator('#verdict').textContent(), '已召回');
  assert.ok(await page.locator('.timeline li').count() > 3);
  assert.match(await page.locator('#check-result').textContent(), /未启用脚本/);
  await close();
});

test('given a page, when all that it loads is added up, then it is under 100 KB', async () => {
  const context = await chromium.newContext(SIZES.phone);
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  await session.send('Network.enable');
  const sizes = new Map();
  const names = new Map();
  session.on('Network.responseReceived', ({ requestId, response }) => names.set(requestId, response.url));
  session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => sizes.set(requestId, encodedDataLength));
  await page.goto(`${PAGES}/${samples.get('RECALLED')}`);
  await page.waitForSelector('#checks[data-done]');
  let total = 0;
  for (const [id, size] of sizes) {
    // The proof is as long as the history; it is what the page is about, not the page.
    if (!names.get(id)?.includes('as=bundle')) total += size;
  }
  console.log(`the page of a unit transfers ${total} bytes`);
  assert.ok(total > 20_000 && total < 100_000, `${total} bytes`);
  await context.close();
});

test('given the key of an order, when the buyer confirms, disputes wrongly, reports and claims, then each has its answer', async () => {
  const [MAKER, COURIER] = ['gln:6901234500004', 'uscc:91110000802100433B'];
  const { say, unit: unitOf } = trade({ maker: MAKER, courier: COURIER, gtin: '06901234567892' });
  const { secret, keyId, named } = buyer('order');
  const unit = unitOf('SOLD-1');
  say(MAKER, unit, { commission: {} }, { handover: { to: COURIER, buyer: named } });
  say(COURIER, unit, { accept: { condition: 'CONDITION_GOOD' } }, { scan: {} }, { deliver: { buyerKeyId: base64(keyId) } });
  const { page, wrong, close } = await open(`${unit}#k=${secret}`, { lang: 'en-GB' });
  assert.equal(new URL(page.url()).hash, '', 'the key is not left in the address bar');
  const send = async (act, says, fill = {}) => {
    await page.fill('#secret', secret);
    await page.check(`input[value=${act}]`);
    for (const [selector, value] of Object.entries(fill)) {
      if (selector === '#evidence') await page.setInputFiles(selector, value);
      else await page.fill(selector, value);
    }
    // What the last one said must not pass for this one's answer.
    await page.evaluate(() => { document.getElementById('buyer-result').textContent = ''; });
    await page.click('#buyer button');
    const said = () => page.textContent('#buyer-result');
    await page.waitForFunction((text) => new RegExp(text).test(document.getElementById('buyer-result').textContent), says, { timeout: 10_000 })
      .catch(async () => assert.fail(`${act}: “${await said()}” is not ${says}`));
    await page.waitForSelector('#buyer button:enabled');
  };
  await page.waitForLoadState('networkidle');
  const photo = { name: 'photo.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('a photo') };
  await send('claim', 'Give the amount');
  await send('confirm', 'as entry \\d+');
  await send('report', 'as entry \\d+', { '#evidence': photo });
  await send('claim', 'as entry \\d+', { '#amount': '12.50', '#evidence': photo });
  await send('claim', 'ALREADY|once|already', { '#amount': '12.50', '#evidence': photo });
  await page.fill('#secret', 'nonsense');
  await page.check('input[value=confirm]');
  await page.click('#buyer button');
  await page.waitForFunction(() => /26 letters/.test(document.getElementById('buyer-result').textContent));
  await page.reload();
  assert.equal(await page.textContent('#verdict'), 'Delivered');
  assert.deepEqual(await barriers(page), []);
  assert.deepEqual(wrong.filter((what) => !what.includes('status of 4')), []);
  await close();
});
