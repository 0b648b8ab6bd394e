/** The directory of a spool that must not be used, or that is damaged, removed or full while processes use it. */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { systemClock, systemRandom, type Clock } from '../../src/base/clock';
import { BusError } from '../../src/base/errors';
import { limits } from '../../src/base/limits';
import { openHealth } from '../../src/bus/health';
import { openSpoolLog, openSpoolReader } from '../../src/embedded/open';
import type { Append, Log } from '../../src/ports/log';
import { readContents } from '../../src/spool/contents';
import { openSpool } from '../../src/spool/spool';
import { cleanUp, freshDirectory, keptNotices, later, openBus, until } from '../support/embedded-buses';
import { damages } from '../embedded/damage';

jest.setTimeout(120_000);
afterEach(async () => {
  jest.restoreAllMocks();
  await cleanUp();
});

const around = { clock: systemClock, random: systemRandom };
const topic = { name: 'test.shop.work', partitions: 1, compacted: false, keepMs: null };
const record = (n: number): Append => ({ partition: 0, key: null, value: Buffer.from(`value-${n}`), headers: {} });

/** Servers that are away until `isAway` is false, and the values that they received. */
function fakeServers() {
  const received: string[] = [];
  const servers = { isAway: true, received, tried: 0 };
  const log: Pick<Log, 'ensure' | 'append'> = {
    ensure: async (one) => one,
    async append(_topic, records) {
      servers.tried++;
      if (servers.isAway) throw new BusError('Unreachable', 'no answer', { outcome: 'not-sent', waitedMs: 1 });
      const places = records.map(({ partition }, n) => ({ partition, offset: received.length + n }));
      received.push(...records.map(({ value }) => Buffer.from(value ?? []).toString()));
      return places;
    },
  };
  return Object.assign(servers, { log });
}

async function open(dir: string, ns = 'test', servers = fakeServers()) {
  const { notices, kept } = keptNotices();
  const health = openHealth(systemClock, notices, { refused: [] }, () => []);
  const local = await openSpoolLog({ ...around, notices, ns, name: 'web#1', dir });
  const spool = await openSpool({
    ...around,
    notices,
    ns,
    log: servers.log,
    local: local.log,
    bytesMax: 1e9,
    topicShare: 1,
  });
  let isOpen = true;
  const close = async (): Promise<void> => {
    if (!isOpen) return;
    isOpen = false;
    await spool.close();
    await local.close();
  };
  later(close);
  return { spool, servers, kept, health, close };
}
/** Opens a spool in which values 1 to `count` wait. */
async function waiting(dir: string, count: number) {
  const opened = await open(dir);
  await opened.spool.ensure(topic);
  for (let n = 1; n <= count; n++) {
    await opened.spool.append(topic.name, [record(n)]);
    await until(() => opened.servers.tried > 0); // the first one is being sent, so the others are not read yet
  }
  return opened;
}
const values = (count: number): readonly string[] => Array.from({ length: count }, (_, n) => `value-${n + 1}`);
const read = async (dir: string) => {
  const { ns, log } = await openSpoolReader(dir, { clock: systemClock, notices: keptNotices().notices });
  try {
    return await readContents(log, ns, systemClock);
  } finally {
    await log.close();
  }
};

test('an event waits for the brokers longer than its retention, whatever waits beside it', async () => {
  const held = jest.replaceProperty(limits, 'heldEventBytesMax', 1 as never);
  let [sweeps, passedMs] = [0, 0];
  // The log sweeps at intervals of 30 to 60 s, which are short here.
  const clock: Clock = {
    ...systemClock,
    now: () => systemClock.now() + passedMs,
    after: (ms, run) => (ms < 30_000 ? systemClock.after(ms, run) : systemClock.after(20, () => (sweeps++, run()))),
  };
  const { notices } = keptNotices();
  const dir = freshDirectory();
  const local = await openSpoolLog({ ...around, clock, notices, ns: 'test', name: 'web#1', dir });
  later(() => local.close());
  const events = { name: 'test.shop.events', partitions: 1, compacted: false, keepMs: 86_400_000 };
  await local.log.ensure(events);
  const idle = { onAssigned: () => undefined, onRevoked: () => Promise.resolve() };
  await local.log.join('drain', events.name, idle);
  await local.log.append(events.name, [record(1), record(2)]);
  [sweeps, passedMs] = [0, 2 * 86_400_000];
  await until(() => sweeps > 3);
  expect(await local.log.bounds(events.name)).toEqual([{ partition: 0, start: 0, end: 2 }]);
  held.restore();
});

describe('a directory that must not be used', () => {
  const refused = (message: RegExp) => ({ code: 'Config', message: expect.stringMatching(message) });

  test('of another namespace is refused, and named as the option spool', async () => {
    const dir = freshDirectory();
    await (await open(dir)).close();
    await expect(open(dir, 'prod')).rejects.toMatchObject(
      refused(/^the spool is refused: .* belongs to ns test, not prod; set ns to test, or set spool to another one$/),
    );
  });

  test('of a newer layout is refused, for senders and for the operator', async () => {
    const dir = freshDirectory();
    await (await open(dir)).close();
    fs.writeFileSync(path.join(dir, 'busbar.json'), JSON.stringify({ busbar: 'spool', layout: 2, ns: 'test' }));
    const newer = refused(/has layout 2, but .* supports 1; update busbar, or set spool to another one$/);
    await expect(open(dir)).rejects.toMatchObject(newer);
    await expect(read(dir)).rejects.toMatchObject(newer);
  });

  test('of an embedded bus is no spool, and a spool is no directory of an embedded bus', async () => {
    const [bus, spool] = [freshDirectory(), freshDirectory()];
    await openBus(bus);
    const isBus = refused(/is the directory of an embedded bus, not a spool; set spool to another directory$/);
    await expect(open(bus)).rejects.toMatchObject(isBus);
    await expect(read(bus)).rejects.toMatchObject(isBus);
    await open(spool);
    await expect(openBus(spool)).rejects.toMatchObject(
      refused(/^the directory of the bus is refused: .* is a spool, not the directory of an embedded bus; set dir to/),
    );
  });

  test('on a network file system is refused and not created', async () => {
    const dir = path.join(freshDirectory(), 'new');
    const found = Object.assign(fs.statfsSync('/tmp'), { type: 0x6969 });
    // The cast: of the overloads, the one without bigint is what is called.
    jest.spyOn(fs, 'statfsSync').mockReturnValue(found as fs.StatsFs & fs.BigIntStatsFs);
    const isNetwork = refused(/file system \(NFS\); set spool to a directory on a disk of this machine$/);
    await expect(open(dir)).rejects.toMatchObject(isNetwork);
    await expect(read(dir)).rejects.toMatchObject(isNetwork);
    expect(fs.existsSync(dir)).toBe(false);
  });

  test('that cannot be written is refused', async () => {
    const dir = freshDirectory();
    await (await open(dir)).close();
    fs.chmodSync(dir, 0o500);
    await expect(open(dir)).rejects.toMatchObject(refused(/cannot be written \(mode 0500\); chmod 700/));
    fs.chmodSync(dir, 0o700);
  });

  test('whose log was removed is refused, so that it does not silently start empty', async () => {
    const dir = freshDirectory();
    await (await waiting(dir, 2)).close();
    fs.rmSync(path.join(dir, 'log', 'data.mdb'));
    await expect(open(dir)).rejects.toMatchObject(refused(/data.mdb is missing or empty.*its messages are lost/));
    await expect(read(dir)).rejects.toMatchObject(refused(/data.mdb is missing or empty/));
    expect(fs.existsSync(path.join(dir, 'log', 'data.mdb'))).toBe(false);
  });
});

const unshare = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status === 0;
(unshare ? describe : describe.skip)('in another pid namespace (needs root and unshare)', () => {
  test('opening and reading are refused while a process there uses the spool', async () => {
    const dir = freshDirectory();
    const script = `
      require(${JSON.stringify(path.join(__dirname, '..', 'register.cjs'))});
      const { openSpoolLog } = require(${JSON.stringify(path.join(__dirname, '../../src/embedded/open.ts'))});
      const { systemClock: clock, systemRandom: random } = require(${JSON.stringify(path.join(__dirname, '../../src/base/clock.ts'))});
      const { openNotices } = require(${JSON.stringify(path.join(__dirname, '../../src/base/notices.ts'))});
      openSpoolLog({ dir: ${JSON.stringify(dir)}, ns: 'test', name: 'x', clock, random, notices: openNotices() })
        .then(() => console.log('opened'), (error) => console.log(error.message));`;
    const child = spawn('unshare', ['--pid', '--fork', '--kill-child', '--mount-proc', process.execPath, '-e', script]);
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    later(() => void child.kill('SIGKILL'));
    await until(() => output === 'opened\n');
    const foreign = {
      code: 'Config',
      message: expect.stringMatching(
        /^the spool is refused: .*another pid namespace.*or set spool to another directory$/,
      ),
    };
    await expect(open(dir)).rejects.toMatchObject(foreign);
    await expect(read(dir)).rejects.toMatchObject(foreign);
    expect(fs.readdirSync(path.join(dir, 's'))).toHaveLength(1);
  });
});

test('on a full disk nothing is accepted, what waits is sent in order, and messages are accepted again with room', async () => {
  const dir = freshDirectory();
  const { spool, servers, health, kept } = await waiting(dir, 3);
  const disk = fs.statfsSync(dir);
  const full = jest.spyOn(fs, 'statfsSync').mockImplementation(() => Object.assign(disk, { bavail: 0 }));
  await expect(spool.append(topic.name, [record(9)])).rejects.toMatchObject({ code: 'DiskFull', retryable: true });
  expect(health.read()).toMatchObject({ live: true, ready: false });
  full.mockRestore();
  jest.spyOn(fs, 'statfsSync').mockImplementation(() => Object.assign(disk, { bavail: 10 ** 9 }));
  servers.isAway = false;
  await until(() => servers.received.length === 3);
  await spool.append(topic.name, [record(4)]);
  await until(() => servers.received.length === 4);
  expect(servers.received).toEqual(values(4));
  await until(() => health.read().ready);
  expect(kept.filter(({ type }) => type === 'dropped')).toEqual([]);
});

test.each([
  ['directory is removed', '', 'removed'],
  ['data file is removed', 'log/data.mdb', 'removed'],
] as const)(
  'when the %s while processes use it, appends reject with SpoolBroken, and the bus is not live',
  async (_, part, kind) => {
    const dir = freshDirectory();
    const { spool, health } = await waiting(dir, 2);
    damages[kind](path.join(dir, part));
    await until(() => !health.read().live);
    const broken = { code: 'SpoolBroken', retryable: false, details: { path: expect.stringContaining(dir) } };
    await expect(spool.append(topic.name, [record(3)])).rejects.toMatchObject(broken);
    await expect(spool.ensure({ ...topic, name: 'test.shop.work.other' })).rejects.toMatchObject(broken);
  },
);

test('a flipped head is refused when the spool is opened or read the next time', async () => {
  const dir = freshDirectory();
  await (await waiting(dir, 2)).close();
  damages['both heads flipped'](path.join(dir, 'log', 'data.mdb'));
  await expect(open(dir)).rejects.toMatchObject({ code: 'Config', message: expect.stringContaining('data.mdb') });
  await expect(read(dir)).rejects.toMatchObject({ code: 'Config', message: expect.stringContaining('data.mdb') });
});

/** Flips the bytes of the third value on the disk. Other bytes of the file can end the process: see test/embedded/damage. */
function flipThird(dir: string): void {
  const file = path.join(dir, 'log', 'data.mdb');
  const bytes = fs.readFileSync(file);
  const opened = fs.openSync(file, 'r+');
  for (let at = bytes.indexOf('value-3'); at >= 0; at = bytes.indexOf('value-3', at + 1))
    fs.writeSync(opened, Buffer.alloc(7, 0xff), 0, 7, at);
  fs.closeSync(opened);
}

test.each(['while no process runs', 'while a process runs'])(
  'a record whose bytes are flipped %s is reported, and the others are sent in order',
  async (when) => {
    const dir = freshDirectory();
    const first = await waiting(dir, 5);
    if (when === 'while no process runs') await first.close();
    flipThird(dir);
    const { servers, kept } = when === 'while no process runs' ? await open(dir) : first;
    servers.isAway = false;
    await until(() => servers.received.length === 4);
    expect(servers.received).toEqual(values(5).filter((value) => value !== 'value-3'));
    expect(kept).toContainEqual(
      expect.objectContaining({
        type: 'dropped',
        what: 'record test.shop.work/0/2',
        reason: expect.stringContaining('damaged'),
      }),
    );
  },
);
