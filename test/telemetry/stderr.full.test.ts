/** Log of a bus that openBus opens, as a process writes it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const program = `
  const { defineModule, openBus, unchecked, work } = require('busbar');
  const shop = defineModule('shop', { bill: work(unchecked(), { attempts: 1 }) });
  (async () => {
    const bus = await openBus({ module: shop, dir: process.argv[1], ...JSON.parse(process.argv[2]) });
    const hasInk = process.argv[3] === 'ink';
    const ended = new Promise((resolve) => bus.watch(({ type }) => type === (hasInk ? 'handled' : 'parked') && resolve()));
    await bus.serve(shop, {
      bill(_, { log }) {
        log.info('on paper');
        if (!hasInk) throw new TypeError('no ink');
      },
    });
    await bus.submit(shop.bill, 1);
    await ended;
    await bus.close();
    const loaded = Object.keys(require.cache).flatMap((file) => /node_modules\\/(pino|@opentelemetry)\\//.exec(file)?.[1] ?? []);
    process.stdout.write(JSON.stringify([...new Set(loaded)]));
  })();
`;
const dir = mkdtempSync(join(tmpdir(), 'bb-stderr-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function run(options: object, ...more: readonly string[]): { loads: readonly string[]; lines: readonly string[] } {
  const args = ['-r', join(__dirname, '..', 'register.cjs'), '-e', program, dir, JSON.stringify(options), ...more];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: join(__dirname, '../..'),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return { loads: JSON.parse(stdout) as string[], lines: stderr.split('\n').slice(0, -1) };
}

test('warnings and errors are JSON lines on stderr, and nothing is on stdout', () => {
  const { lines } = run({});
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    level: 'error',
    module: 'shop',
    instance: expect.stringMatching(/^shop#/),
    pid: expect.any(Number),
    msg: 'shop.bill parked after 1 attempt: attempt 1 of 1 failed: no ink',
    err: { type: 'TypeError' },
  });
});

test('logLevel and logFormat choose the level and the form', () => {
  const { lines } = run({ logLevel: 'info', logFormat: 'text' });
  expect(lines[0]).toMatch(/^[\d:.]{12}  info   shop#\w{6}  on paper  entry=shop\.bill  id=\w+$/);
  expect(lines[1]).toMatch(/  error  shop#\w{6}  shop\.bill parked after 1 attempt/);
});

test('without a line, and with log: false, pino is not loaded, and without a tracer OpenTelemetry is not', () => {
  expect(run({ log: false })).toEqual({ loads: [], lines: [] });
  expect(run({}, 'ink')).toEqual({ loads: [], lines: [] });
  expect(run({}).loads).toEqual(['pino']);
});
