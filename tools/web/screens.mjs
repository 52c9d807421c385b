// Takes a picture of every page, at the size of a phone and of a desk, in both languages, light and dark,
// and fails where one has errors, overflows or cuts text off.
//
//   CUSTODY_TOKEN=... node screens.mjs BASE-URL OUT-FOLDER PATH...
//
// Paths of the desk need a regulator's token.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SIZES, browser, listen, misfits } from './look.mjs';

const [base, out, ...paths] = process.argv.slice(2);
if (!paths.length) {
  console.error('usage: node screens.mjs BASE-URL OUT-FOLDER PATH...');
  process.exit(2);
}
const KINDS = [
  { lang: 'zh', size: 'phone', scheme: 'light' },
  { lang: 'en', size: 'phone', scheme: 'dark' },
  { lang: 'zh', size: 'desk', scheme: 'dark' },
  { lang: 'en', size: 'desk', scheme: 'light' },
];

await mkdir(out, { recursive: true });
const chromium = await browser();
let wrongs = 0;
for (const { lang, size, scheme } of KINDS) {
  const context = await chromium.newContext({
    ...SIZES[size], colorScheme: scheme, locale: lang === 'zh' ? 'zh-CN' : 'en-GB', timezoneId: 'Asia/Shanghai',
  });
  if (paths.some((path) => path.startsWith('/desk'))) {
    const page = await context.newPage();
    await page.goto(`${base}/desk/login`);
    await page.fill('#token', process.env.CUSTODY_TOKEN ?? '');
    await page.click('#login button');
    await page.waitForURL(`${base}/desk`);
    await page.close();
  }
  for (const [number, path] of paths.entries()) {
    const page = await context.newPage();
    const wrong = listen(page);
    // The list of alerts is never idle: its stream goes on.
    await page.goto(base + path, { waitUntil: path.startsWith('/desk') ? 'load' : 'networkidle' });
    wrong.push(...await misfits(page));
    const name = path.split('?')[0].replace(/[^0-9A-Za-z]+/g, '-').replace(/^-|-$/g, '') || 'start';
    const file = join(out, `${String(number).padStart(2, '0')}-${name}-${size}-${lang}-${scheme}.png`);
    await page.screenshot({ path: file, fullPage: true });
    console.log(`${wrong.length ? 'POOR' : 'ok  '} ${file}${wrong.map((what) => `\n       ${what}`).join('')}`);
    wrongs += wrong.length;
    await page.close();
  }
  await context.close();
}
await chromium.close();
process.exit(wrongs ? 1 : 0);
