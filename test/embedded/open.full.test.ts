/** Opening and closing a whole bus: its duration, two buses in one process, and processes of another pid namespace. */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Clock, systemClock } from '../../src/base/clock';
import { instance } from './instance';
import { cleanUp, freshDirectory, later, openBus, startChild, until } from '../support/embedded-buses';

afterEach(cleanUp);

test('opening uses less than 60 ms of CPU time, and waits for no timer', async () => {
  const dir = freshDirectory();
  const timeless: Clock = { ...systemClock, after: () => ({ cancel: () => undefined }) };
  const tookMs: number[] = [];
  for (let round = 0; round < 15; round++) {
    const before = process.cpuUsage();
    await openBus(dir, 'web#0000', undefined, timeless);
    const { user, system } = process.cpuUsage(before);
    tookMs.push((user + system) / 1_000);
  }
  expect(Math.min(...tookMs)).toBeLessThan(60);
});

test('two buses in one process on one directory share registry, messenger, settings and log', async () => {
  const dir = freshDirectory();
  const [a, b] = [await openBus(dir, 'web#a'), await openBus(dir, 'web#b')];
  const heard = new Promise<string>((resolve) => {
    b.messenger.receive({ packet: ({ line }) => resolve(line), left: () => undefined });
  });
  await b.registry.announce(instance(b.messenger.address, 'web'));
  expect(await a.registry.all()).toHaveLength(1);
  a.messenger.send(b.messenger.address, { line: 'hello', body: Buffer.alloc(0) });
  expect(await heard).toBe('hello');
  await a.settings.set('key', 'x', 0);
  expect(await b.settings.get('key')).toMatchObject({ value: 'x' });
  await a.log.ensure({ name: 'work', partitions: 1, compacted: false, keepMs: null });
  await a.log.append('work', [{ partition: 0, key: null, value: Buffer.from('x'), headers: {} }]);
  expect(await b.log.peek('work', { partition: 0, offset: 0 }, { messages: 10, bytes: 1_000 })).toHaveLength(1);
});

test('closing removes the sockets and announcements, and can be repeated', async () => {
  const dir = freshDirectory();
  const [a, b] = [await openBus(dir), await openBus(dir)];
  await a.registry.announce(instance(a.messenger.address, 'web'));
  await b.registry.announce(instance(b.messenger.address, 'web'));
  await Promise.all([a.close(), a.close(), b.close()]);
  expect(fs.readdirSync(path.join(dir, 's'))).toEqual([]);
  expect(fs.readdirSync(path.join(dir, 'instances'))).toEqual([]);
});

test('opening removes old drafts of dead processes, and keeps new ones', async () => {
  const dir = freshDirectory();
  await (await openBus(dir)).close();
  for (const [name, ageMs] of [
    ['~old', 120_000],
    ['~new', 1_000],
  ] as const) {
    const file = path.join(dir, 'settings', name);
    fs.writeFileSync(file, '');
    fs.utimesSync(file, new Date(), new Date(Date.now() - ageMs));
  }
  await openBus(dir);
  expect(fs.readdirSync(path.join(dir, 'settings'))).toEqual(['~new']);
});

test('a bus that cannot be opened leaves no socket', async () => {
  const dir = freshDirectory();
  await (await openBus(dir)).close();
  fs.writeFileSync(path.join(dir, 'log', 'data.mdb'), 'no data file of LMDB, but longer than nothing');
  await expect(openBus(dir)).rejects.toMatchObject({ code: 'Config' });
  expect(fs.readdirSync(path.join(dir, 's'))).toEqual([]);
});

const full = path.join(os.tmpdir(), `bb-full-${process.pid}`);
fs.mkdirSync(full, { mode: 0o700 });
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=0700', 'tmpfs', full]).status === 0;
afterAll(() => {
  if (mounted) spawnSync('umount', ['-l', full]);
  fs.rmSync(full, { recursive: true, force: true });
});
const withFullDisk = mounted ? describe : describe.skip;
withFullDisk('on a disk that is full (needs root to mount one)', () => {
  /** Fills the disk completely. */
  const fill = (): void => {
    const file = fs.openSync(path.join(full, 'filler'), 'w');
    for (const bytes of [65_536, 4_096, 1]) {
      while (isRoomFor(() => fs.writeSync(file, Buffer.alloc(bytes))));
    }
    fs.closeSync(file);
  };
  const isRoomFor = (write: () => void): boolean => {
    try {
      write();
      return true;
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC' });
      return false;
    }
  };

  test('a new directory is rejected with the reason, and opens when space is freed', async () => {
    fill();
    const dir = path.join(full, 'new');
    await expect(openBus(dir)).rejects.toMatchObject({
      code: 'Config',
      message: expect.stringMatching(
        /new cannot be used: .*ENOSPC.*; check its permissions and the free disk space, or set dir/,
      ),
    });
    fs.rmSync(path.join(full, 'filler'));
    expect((await openBus(dir)).messenger.address).toBeDefined();
  });
  test('an open bus rejects writes with ENOSPC, keeps its data, and still delivers packets', async () => {
    const dir = path.join(full, 'old');
    const [a, b] = [await openBus(dir), await openBus(dir)];
    await a.settings.set('key', 'one', 0);
    await a.registry.announce(instance(a.messenger.address, 'web'));
    fill();
    const unreachable = { code: 'Unreachable', message: expect.stringContaining('ENOSPC') };
    await expect(a.settings.set('key', 'x'.repeat(100_000), 1)).rejects.toMatchObject(unreachable);
    await expect(b.registry.announce(instance(b.messenger.address, 'web'))).rejects.toMatchObject(unreachable);
    expect(await b.settings.all()).toEqual([{ key: 'key', value: 'one', version: 1 }]);
    expect(await b.registry.all()).toHaveLength(1);
    const heard = new Promise<string>((resolve) => {
      b.messenger.receive({ packet: ({ line }) => resolve(line), left: () => undefined });
    });
    a.messenger.send(b.messenger.address, { line: 'still', body: Buffer.alloc(0) });
    expect(await heard).toBe('still');
    fs.rmSync(path.join(full, 'filler'));
    await b.registry.announce(instance(b.messenger.address, 'web', { name: 'web#b' }));
    expect(await a.registry.all()).toHaveLength(2);
  });
});

const unshare = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status === 0;
const withNamespaces = unshare ? describe : describe.skip;
withNamespaces('with pid namespaces (needs root and unshare)', () => {
  /** Starts a process as in its own container, where its pid is 1 or 2. It prints the result of opening. */
  function startElsewhere(dir: string): { said: () => string; kill: () => void } {
    const script = `
      require(${JSON.stringify(path.join(__dirname, '..', 'register.cjs'))});
      const { openEmbedded } = require(${JSON.stringify(path.join(__dirname, '../../src/embedded/open.ts'))});
      const { systemClock: clock, systemRandom: random } = require(${JSON.stringify(path.join(__dirname, '../../src/base/clock.ts'))});
      const { openNotices } = require(${JSON.stringify(path.join(__dirname, '../../src/base/notices.ts'))});
      openEmbedded({ dir: ${JSON.stringify(dir)}, ns: 'test', name: 'x', clock, random, notices: openNotices() })
        .then(() => console.log('opened'), (error) => console.log(error.message));`;
    const child = spawn('unshare', ['--pid', '--fork', '--kill-child', '--mount-proc', process.execPath, '-e', script]);
    let said = '';
    child.stdout.on('data', (chunk) => (said += chunk));
    const kill = (): void => void child.kill('SIGKILL');
    later(kill);
    return { said: () => said, kill };
  }

  const accepts = (socket: string): boolean => {
    const connect = `require('node:net').connect('${socket}').on('connect', () => process.exit(7)).on('error', () => 0)`;
    return spawnSync(process.execPath, ['-e', connect]).status === 7;
  };

  test('opening rejects while a process of another pid namespace has the directory open', async () => {
    const dir = freshDirectory();
    const elsewhere = startElsewhere(dir);
    await until(() => elsewhere.said() === 'opened\n');
    await expect(openBus(dir)).rejects.toMatchObject({
      code: 'Config',
      message: expect.stringMatching(
        /is in use by a process of another pid namespace .*another container; run both in one pid namespace/,
      ),
    });
    expect(fs.readdirSync(path.join(dir, 's'))).toHaveLength(1);
    elsewhere.kill();
    // A restarted container has another pid namespace, which alone must not block opening.
    const socket = path.join(dir, 's', String(fs.readdirSync(path.join(dir, 's'))[0]));
    await until(() => !accepts(socket));
    expect((await openBus(dir)).messenger.address).toBeDefined();
    expect(fs.existsSync(socket)).toBe(false);
  });
  test('opening in another pid namespace rejects until the process outside has ended', async () => {
    const dir = freshDirectory();
    const here = startChild('echo', dir);
    await here.next();
    const elsewhere = startElsewhere(dir);
    await until(() => elsewhere.said() !== '');
    expect(elsewhere.said()).toMatch(/in use by a process of another pid namespace/);
    await here.kill();
    const again = startElsewhere(dir);
    await until(() => again.said() !== '');
    expect(again.said()).toBe('opened\n');
  });
});
