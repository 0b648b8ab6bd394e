import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isBusError } from '../src/base/errors';
import { openNotices } from '../src/base/notices';
import { systemClock } from '../src/base/clock';
import { liveConfig, loadConfig, type ConfigParts } from '../src/config';
import { busOptions, entryOptions } from '../src/options';
import { optionsTable } from '../src/options-table';

/** Loads with in-memory files. */
const load = (files: Record<string, string> = {}, parts: ConfigParts = {}) =>
  loadConfig({ env: {}, cwd: '/app', readFile: (path) => files[path], ...parts });

function faultsOf(read: () => unknown): readonly string[] {
  try {
    read();
  } catch (error) {
    if (isBusError(error, 'Config')) return error.details.faults;
    throw error;
  }
  throw new Error('nothing was refused');
}

test('without file, variables and options all options have their defaults', () => {
  expect(load().values).toMatchObject({ ns: 'main', transport: 'embedded', drainMs: 10_000, logLevel: undefined });
  expect(load().values.dir).toBeUndefined();
});

test('variables override the file, and code overrides both', () => {
  const files = { '/app/config/default.json': '{"ns":"filed","drainMs":"2s","workConcurrency":2}' };
  const env = { BUSBAR_DRAIN_MS: '3s', BUSBAR_WORK_CONCURRENCY: '3' };
  const { values, sources } = load(files, { env, overrides: { workConcurrency: 4 } });
  expect(values).toMatchObject({ ns: 'filed', drainMs: 3_000, workConcurrency: 4 });
  expect(sources).toMatchObject({
    ns: '/app/config/default.json',
    drainMs: 'BUSBAR_DRAIN_MS',
    workConcurrency: 'openBus',
    timeoutMs: 'default',
  });
});

test('BUSBAR_CONFIG sets the file, as a relative or absolute path', () => {
  const files = { '/app/config/docker.json': '{"ns":"docker"}', '/etc/bus.json': '{"ns":"etc"}' };
  expect(load(files, { env: { BUSBAR_CONFIG: 'config/docker.json' } }).values.ns).toBe('docker');
  expect(load(files, { env: { BUSBAR_CONFIG: '/etc/bus.json' } }).values.ns).toBe('etc');
});

test('a missing file in BUSBAR_CONFIG is rejected', () => {
  expect(faultsOf(() => load({}, { env: { BUSBAR_CONFIG: 'gone.json' } }))).toEqual([
    '/app/gone.json (BUSBAR_CONFIG) does not exist',
  ]);
});

test.each([
  ['no JSON', 'cannot be read: '],
  ['[1]', 'is not an object of options'],
  ['{"port":1}', 'port (/app/config/default.json) is not an option'],
])('a default file with %s is rejected, and the error suggests BUSBAR_CONFIG', (text, fault) => {
  const [only] = faultsOf(() => load({ '/app/config/default.json': text }));
  expect(only).toContain(fault);
  expect(only).toMatch(/name another file in BUSBAR_CONFIG$/);
});

test('one error lists all faults of file, variables and code', () => {
  const files = { '/app/config/default.json': '{"drainms":1,"sessionMs":"1m 5s"}' };
  const env = { BUSBAR_TRANSPORT: 'pigeon', BUSBAR_KEEP: '1d' };
  const faults = faultsOf(() => load(files, { env, overrides: { workConcurrency: 0, healthHost: 'no host' } }));
  expect(faults).toHaveLength(6);
  expect(faults.join('\n')).toMatch(
    /drainMs.*\n.*sessionMs.*\n.*BUSBAR_KEEP_MS.*\n.*pigeon.*\n.*minimum of 1.*\nhealthHost = .*\(openBus\)/,
  );
});

test('files are read from disk by default', () => {
  const cwd = mkdtempSync(join(tmpdir(), 'busbar-config-'));
  try {
    expect(loadConfig({ env: {}, cwd }).values.ns).toBe('main');
    writeFileSync(join(cwd, 'bus.json'), '{"ns":"disk"}');
    expect(loadConfig({ env: { BUSBAR_CONFIG: 'bus.json' }, cwd }).values.ns).toBe('disk');
    expect(faultsOf(() => loadConfig({ env: { BUSBAR_CONFIG: '.' }, cwd }))[0]).toMatch(/cannot be read: .*EISDIR/);
  } finally {
    rmSync(cwd, { recursive: true });
  }
});

test('the configuration file of this repository is valid', () => {
  expect(() => loadConfig({ env: {}, cwd: join(__dirname, '..') })).not.toThrow();
});

test('settings change the live options of the bus and of an entry', () => {
  const live = liveConfig(load().values, openNotices(), systemClock);
  live.take([
    { key: 'logLevel', value: 'debug', version: 1 },
    { key: 'photos.resize.perSecond', value: '10', version: 1 },
    { key: 'drainMs', value: '1s', version: 1 },
  ]);
  expect(live.bus).toMatchObject({ logLevel: 'debug', drainMs: 10_000 });
  expect(live.entry('photos.resize')).toEqual({ perSecond: 10 });
});

test('every option has a description of one sentence', () => {
  for (const { description } of Object.values({ ...busOptions, ...entryOptions })) {
    expect(description).toMatch(/^[A-Z`].*\.$/);
  }
});

const configurationPage = join(__dirname, '..', 'docs', 'configuration.md');
const block = /<!-- options -->\n([^]*?)\n<!-- end of options -->/;
/** The cells of a table without their padding, which the formatter adds. */
const cells = (table: string) =>
  table
    .trim()
    .split('\n')
    .map((row) => row.split(/(?<!\\)\|/).map((cell) => cell.trim().replace(/^-+$/, '---')));

test('docs/configuration.md has the generated option table: node scripts/options-table.mjs --write', () => {
  const table = optionsTable(busOptions);
  const text = readFileSync(configurationPage, 'utf8');
  expect(cells(block.exec(text)?.[1] ?? 'docs/configuration.md has no <!-- options -->')).toEqual(cells(table));
});

test.each([
  ['BUSBAR_BROKERS', '127.0.0.1', 'brokers = "127.0.0.1" (BUSBAR_BROKERS) has \'127.0.0.1\', which is not host:port'],
  ['BUSBAR_BROKERS', 'a:1,b:', 'which is not host:port'],
  ['BUSBAR_BROKERS', 'a:1,b:70000', "has 'b:70000', which is not host:port"],
  ['BUSBAR_BROKERS', '::1:9092', 'which is not host:port'],
  ['BUSBAR_BROKERS', 'kafka://a:9092', 'which is not host:port'],
  ['BUSBAR_ZOOKEEPER', 'a:2181,b:x', "(BUSBAR_ZOOKEEPER) has 'b:x', which is not host:port"],
  ['BUSBAR_ZOOKEEPER', 'a:2181/chroot', 'which is not host:port'],
  ['BUSBAR_ZOOKEEPER', '', undefined],
  ['BUSBAR_ZOOKEEPER', 'zk-1, 10.0.0.1:2182,[::1]:2183', undefined],
  ['BUSBAR_BROKERS', 'kafka-1.example:9092, 10.0.0.1:9093,[::1]:9094', undefined],
])('%s=%s is validated before a connection is opened', (name, value, fault) => {
  const load = () => loadConfig({ env: { [name]: value }, readFile: () => undefined });
  if (fault === undefined) expect(load).not.toThrow();
  else expect(load).toThrow(fault);
});
