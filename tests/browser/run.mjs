// Runs the tests of what browsers do, against a real ledger with sample goods.
//
//   node run.mjs PATH-OF-THE-PROGRAM [TEST-FILE...]

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const [program, ...files] = process.argv.slice(2);
if (!program) {
  console.error('usage: node run.mjs PATH-OF-THE-PROGRAM [TEST-FILE...]');
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), 'custody-browser-'));
const data = join(folder, 'ledger');
const custody = (env, ...args) => execFileSync(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] });

custody({}, 'init', '--data', data, '--origin', 'sample.example/ledger', '--regulator', 'uscc:91350100M000100Y43', '--regulator-name', 'Sample Market Regulation');
const any = '127.0.0.1:0';
const server = spawn(program, ['serve', '--data', data, '--listen', any, '--http', any, '--metrics', any, '--look-up-rate', '0'], {
  env: { ...process.env, CUSTODY_LOG: 'warn' }, stdio: ['ignore', 'pipe', 'inherit'],
});
let code = 1;
try {
  const addresses = {};
  for await (const line of createInterface({ input: server.stdout })) {
    const [, what, address] = /^custody: (gRPC|pages|metrics) on (.*)$/.exec(line) ?? [];
    if (what) addresses[what] = address;
    if (what === 'metrics') break;
  }
  const env = { CUSTODY_LEDGER: addresses.gRPC };
  const samples = join(folder, 'samples.txt');
  custody(env, 'simulate', '--key', join(data, 'regulator.key'), '--seed', '7', '--units', '400', '--parties', '24', '--truth', join(folder, 'truth.json'), '--samples', samples);

  const fixtures = join(folder, 'fixtures');
  mkdirSync(fixtures);
  const units = readFileSync(samples, 'utf8').trim().split('\n').map((line) => line.split(' ')[1]);
  units.forEach((unit, number) => custody(env, 'bundle', unit, '-o', join(fixtures, `${number}.bundle`)));
  writeFileSync(join(fixtures, 'log.vkey'), readFileSync(join(data, 'log.vkey')));
  const wire = await fetch(`${addresses.pages}/assets/0/custody.v1.binpb`);
  writeFileSync(join(fixtures, 'custody.v1.binpb'), Buffer.from(await wire.arrayBuffer()));

  const shared = resolve(here, '../../../shared');
  const tests = files.length ? files : readdirSync(here).filter((name) => name.endsWith('.test.mjs')).map((name) => join(here, name));
  const run = spawnSync(process.execPath, ['--test', '--test-concurrency=1', '--test-reporter=spec', ...tests], {
    env: {
      ...process.env, ...env, CUSTODY_PROGRAM: resolve(program), CUSTODY_DATA: data, CUSTODY_PAGES: addresses.pages,
      CUSTODY_SAMPLES: samples, CUSTODY_FIXTURES: fixtures, ...(existsSync(shared) && { CUSTODY_SHARED: shared }),
    },
    stdio: 'inherit',
  });
  code = run.status ?? 1;
} finally {
  server.kill();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(code);
