// What every page must be, whatever is on it: no error on the console, nothing wider than the window, no
// text cut off. Shared by the browser tests and by the command that takes pictures.

import axe from 'axe-core';
import { chromium } from 'playwright-core';

/** Debian's Chromium; it runs as root in a container too, and talks to nobody but the pages. */
export function browser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--no-first-run', '--force-color-profile=srgb'],
  });
}

export const SIZES = {
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
  desk: { viewport: { width: 1366, height: 860 }, deviceScaleFactor: 1 },
};

/** Collects what a page says is wrong. */
export function listen(page) {
  const wrong = [];
  page.on('console', (message) => {
    // A page that says that something is wrong has a status that says so too.
    const isOwnStatus = message.text().startsWith('Failed to load resource') && message.location().url === page.url();
    if (['error', 'warning'].includes(message.type()) && !isOwnStatus) wrong.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => wrong.push(`script: ${error.message}`));
  page.on('requestfailed', (request) => {
    // What was still on its way when a page was left is no failure.
    if (request.failure().errorText !== 'net::ERR_ABORTED') wrong.push(`request: ${request.url()}`);
  });
  return wrong;
}

/** What doesn't fit: a page wider than its window, and text that its box cuts off. */
export function misfits(page) {
  return page.evaluate(() => {
    const found = [];
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > width) {
      found.push(`the page is ${document.documentElement.scrollWidth} wide, the window ${width}`);
    }
    for (const element of document.querySelectorAll('body *')) {
      const style = getComputedStyle(element);
      const box = element.getBoundingClientRect();
      if (box.width === 0 || style.visibility === 'hidden' || element.closest('svg, canvas, .skip, .visually-hidden')) continue;
      const name = `${element.tagName.toLowerCase()}.${element.className}`;
      if (box.right > width + 1 && !element.closest('.scrolls')) found.push(`${name} ends at ${Math.round(box.right)}`);
      const cuts = ['hidden', 'clip'].includes(style.overflowX) || ['hidden', 'clip'].includes(style.overflowY);
      const over = element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1;
      if (cuts && over && element.textContent.trim()) found.push(`${name} cuts off “${element.textContent.trim().slice(0, 40)}”`);
    }
    return found;
  });
}

/** What axe finds against WCAG 2.2 AA; only what is serious counts. */
export async function barriers(page) {
  // Playwright's evaluate is not bound by the page's Content-Security-Policy.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run({
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  }));
  return violations
    .filter(({ impact }) => ['serious', 'critical'].includes(impact))
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`);
}
