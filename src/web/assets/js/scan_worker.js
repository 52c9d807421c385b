// Keeps the scanner on the device, so that it opens where there is no network. The pages of one version are
// kept together or not at all. Nothing that is sent to the ledger, and nothing that it answers, is kept.

const PAGE = '/scan';
const NAME = 'scan-';
const PATIENCE_MS = 4000;
// What was fetched for one request serves all: the page in the language that was used last.
const KEPT = { ignoreVary: true };

/** Fetches all files of the version that the server has now, and lets go of older ones. */
async function refresh() {
  const response = await fetch('/scan/files.json', { cache: 'no-store' });
  if (!response.ok) throw new Error(`files.json: ${response.status}`);
  const { version, files } = await response.json();
  const name = NAME + version;
  const cache = await caches.open(name);
  // All are put in at once, or none.
  if (!(await cache.match(PAGE, KEPT))) await cache.addAll(files);
  for (const other of await caches.keys()) {
    if (other.startsWith(NAME) && other !== name) await caches.delete(other);
  }
}

/** The page from the network, kept when all that it loads is kept too: it may be in another language now. */
async function pageFromNetwork(request) {
  const response = await fetch(request);
  if (!response.ok || response.redirected) return response;
  const copy = response.clone();
  const assets = /data-assets="([^"]+)"/.exec(await copy.text())?.[1];
  for (const name of await caches.keys()) {
    if (!name.startsWith(NAME) || !assets) continue;
    const cache = await caches.open(name);
    if (await cache.match(`${assets}/js/scan/app.js`, KEPT)) await cache.put(PAGE, response.clone());
  }
  return response;
}

async function page(event) {
  const fromNetwork = pageFromNetwork(event.request);
  const kept = await caches.match(PAGE, KEPT);
  if (!kept) return fromNetwork;
  // A bad network is no better than none.
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, kept));
  return Promise.race([fromNetwork.catch(() => kept), late]);
}

async function keptFirst(request) {
  return (await caches.match(request, KEPT)) ?? fetch(request);
}

self.addEventListener('install', (event) => event.waitUntil(refresh().then(() => self.skipWaiting())));
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('message', (event) => {
  // Without a network there is nothing newer.
  if (event.data === 'refresh') event.waitUntil(refresh().catch(() => undefined));
});
self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== self.location.origin) return;
  if (request.mode === 'navigate' && url.pathname === PAGE) event.respondWith(page(event));
  else if (url.pathname.startsWith('/assets/') || url.pathname === '/scan/manifest.webmanifest') event.respondWith(keptFirst(request));
});
