/** The registry between processes: new instances are seen at once, and dead ones, and only those, are dropped within a second. */
import fs from 'node:fs';
import path from 'node:path';
import type { Embedded } from '../../src/embedded/open';
import { instance } from './instance';
import { livedMs } from '../elapsed';
import {
  cleanUp,
  clockWithout,
  freshDirectory,
  heardWithinMs,
  keptNotices,
  openBus,
  pollMs,
  startChild,
  until,
} from '../support/embedded-buses';

afterEach(cleanUp);

const names = async ({ registry }: Embedded): Promise<string[]> => (await registry.all()).map(({ name }) => name);
async function watch({ registry }: Embedded, contract = 'echo'): Promise<{ names: string[]; calls: number }> {
  const seen = { names: [''], calls: 0 };
  await registry.watch(contract, (instances) => {
    seen.names = instances.map(({ name }) => name);
    seen.calls++;
  });
  return seen;
}
const filesOf = (dir: string): string[] => [
  ...fs.readdirSync(path.join(dir, 's')),
  ...fs.readdirSync(path.join(dir, 'instances')),
];

test('all watchers have seen the change when announce or withdraw resolves', async () => {
  const dir = freshDirectory();
  // Without the limit of this wait, which a child that gets no CPU time could exceed.
  const [a, b] = [await openBus(dir, 'a', undefined, clockWithout(heardWithinMs)), await openBus(dir)];
  const seen = await watch(b);
  const child = startChild('watch', dir, 'echo');
  expect(await child.next()).toMatchObject({ names: [] });
  const mine = instance(a.messenger.address, 'echo', { name: 'echo#a' });
  for (const [change, expected] of [
    [() => a.registry.announce(mine), ['echo#a']],
    [() => a.registry.withdraw(), []],
  ] as const) {
    await change();
    const resolvedAtMs = Date.now();
    expect(seen.names).toEqual(expected);
    expect(await names(b)).toEqual(expected);
    const told = (await child.next()) as { names: string[]; atMs: number };
    expect(told.names).toEqual(expected);
    expect(told.atMs).toBeLessThanOrEqual(resolvedAtMs);
  }
});

test('a process killed with -9 is dropped by all watchers within a second', async () => {
  const dir = freshDirectory();
  const { notices, kept } = keptNotices();
  const buses = [await openBus(dir, 'w', notices), await openBus(dir), await openBus(dir)];
  const seen = await Promise.all(buses.map((bus) => watch(bus)));
  const children = [startChild('echo', dir, 'echo#1'), startChild('echo', dir, 'echo#2')];
  for (const child of children) await child.next();
  await until(() => seen.every((one) => one.names.length === 2));
  await children[0]?.kill();
  expect(await livedMs(until(() => seen.every((one) => one.names.length === 1)))).toBeLessThan(1_000);
  expect(seen.map((one) => one.names)).toEqual(Array(3).fill(['echo#2']));
  expect(filesOf(dir)).toHaveLength(buses.length + 2);
  expect(kept).toContainEqual({ type: 'instance', instance: 'echo#1', change: 'gone' });
});

test('a watcher that opened later detects the end of a process by its connection', async () => {
  const dir = freshDirectory();
  const child = startChild('echo', dir, 'echo#1');
  await child.next();
  const late = await openBus(dir, 'late', undefined, clockWithout(pollMs)); // without polling
  const seen = await watch(late);
  expect(seen.names).toEqual(['echo#1']);
  await child.kill();
  await until(() => seen.names.length === 0);
  expect(filesOf(dir)).toEqual([late.messenger.address]);
});

test('a bus that opens after a crash removes the files of the crashed instance', async () => {
  const dir = freshDirectory();
  const child = startChild('echo', dir, 'echo#1');
  await child.next();
  await child.kill();
  expect(filesOf(dir)).toHaveLength(2);
  const bus = await openBus(dir);
  expect((await watch(bus)).names).toEqual([]);
  expect(filesOf(dir)).toEqual([bus.messenger.address]);
});

test('the cleanup of a dead process keeps its successor with the same name', async () => {
  const dir = freshDirectory();
  const bus = await openBus(dir);
  const seen = await watch(bus);
  for (let life = 0; life < 3; life++) {
    const child = startChild('echo', dir, 'echo#same');
    const address = await child.next();
    await until(() => seen.names.length === 1);
    expect((await bus.registry.all()).map((one) => one.address)).toEqual([address]);
    await child.kill();
  }
  await until(() => seen.names.length === 0);
});

test('announcing the name of a live instance is a Conflict', async () => {
  const dir = freshDirectory();
  const [a, b] = [await openBus(dir), await openBus(dir)];
  await a.registry.announce(instance(a.messenger.address, 'echo', { name: 'echo#1' }));
  const again = instance(b.messenger.address, 'echo', { name: 'echo#1' });
  await expect(b.registry.announce(again)).rejects.toMatchObject({ code: 'Conflict', details: { key: 'echo#1' } });
  await a.registry.withdraw();
  await b.registry.announce(again);
  expect(await names(a)).toEqual(['echo#1']);
});

test('a stopped process stays announced, and delays announcements by less than 400 ms', async () => {
  const dir = freshDirectory();
  const [a, b] = [await openBus(dir), await openBus(dir)];
  const seen = await watch(a);
  const child = startChild('echo', dir, 'echo#1');
  await child.next();
  child.process.kill('SIGSTOP');
  const announcing = b.registry.announce(instance(b.messenger.address, 'echo', { name: 'echo#2' }));
  expect(await livedMs(announcing)).toBeLessThan(400);
  expect(seen.names).toEqual(['echo#1', 'echo#2']);
  expect(await names(a)).toEqual(['echo#1', 'echo#2']);
  child.process.kill('SIGCONT');
  const contact = new Promise<string>((resolve) => {
    a.messenger.receive({ packet: ({ line }) => resolve(line), left: () => undefined });
  });
  a.messenger.send(String(child.said()), { line: 'awake', body: Buffer.alloc(0) });
  expect(await contact).toBe('awake');
});

test('all 50 instances have the same list after appearing and leaving', async () => {
  const dir = freshDirectory();
  const buses = await Promise.all(Array.from({ length: 50 }, () => openBus(dir)));
  const seen = await Promise.all(buses.map((bus) => watch(bus)));
  for (const [at, { messenger, registry }] of buses.entries()) {
    await registry.announce(instance(messenger.address, 'echo', { name: `echo#${at}` }));
  }
  await until(() => seen.every((one) => one.names.length === 50));
  await Promise.all(buses.slice(10).map((bus) => bus.registry.withdraw()));
  await until(() => seen.every((one) => one.names.length === 10));
  await Promise.all(buses.slice(0, 9).map((bus) => bus.close()));
  await until(() => seen.slice(9).every((one) => one.names.length === 1));
  expect(seen[49]?.names).toEqual(['echo#9']);
});

test('polling finds a change whose doorbell was lost', async () => {
  const dir = freshDirectory();
  const [a, b] = [await openBus(dir), await openBus(dir)];
  const seen = await watch(b);
  // Simulates a process that died between its file and its doorbell: a file appears without a doorbell.
  const file = path.join(dir, 'instances', `${a.messenger.address}.1`);
  fs.writeFileSync(file, JSON.stringify(instance(a.messenger.address, 'echo', { name: 'echo#quiet' })));
  expect(await until(() => seen.names[0] === 'echo#quiet')).toBe(true);
  fs.rmSync(file);
  expect(await until(() => seen.names.length === 0)).toBe(true);
});

test('a damaged announcement is reported once and skipped, and other announcements are listed', async () => {
  const dir = freshDirectory();
  const { notices, kept } = keptNotices();
  const [a, b] = [await openBus(dir), await openBus(dir, 'b', notices)];
  const wrongPrint = JSON.stringify({ ...instance(a.messenger.address, 'echo'), serves: { echo: 1 } });
  for (const [change, text] of ['{', '[]', 'null', '{"name":"x"}', wrongPrint].entries()) {
    const file = path.join(dir, 'instances', `${a.messenger.address}.${change + 1}`);
    fs.writeFileSync(file, text);
    await names(b);
    await names(b);
    fs.rmSync(file);
  }
  expect(kept.filter(({ type }) => type === 'dropped')).toHaveLength(5);
  await b.registry.announce(instance(b.messenger.address, 'echo', { name: 'echo#b' }));
  expect(await names(b)).toEqual(['echo#b']);
});

test('an instance that watches its own module does not connect to itself', async () => {
  const dir = freshDirectory();
  const { notices, kept } = keptNotices();
  const [a, b] = [await openBus(dir, 'a', notices), await openBus(dir)];
  const seen = await watch(a);
  await a.registry.announce(instance(a.messenger.address, 'echo', { name: 'echo#a' }));
  expect(seen.names).toEqual(['echo#a']);
  for (let n = 0; n < 5; n++) {
    const heard = new Promise((resolve) => a.messenger.receive({ packet: resolve, left: () => undefined }));
    b.messenger.send(a.messenger.address, { line: `${n}`, body: Buffer.alloc(0) });
    await heard; // by then its own packet would have arrived
  }
  expect(kept.filter(({ type }) => type === 'dropped')).toEqual([]);
});

test('a watcher of a contract named like a property of every object sees no instance', async () => {
  const bus = await openBus(freshDirectory());
  await bus.registry.announce(instance(bus.messenger.address, 'echo'));
  for (const contract of ['constructor', 'toString', '__proto__'])
    expect((await watch(bus, contract)).names).toEqual([]);
});

test('unreadable announcements are reported as one state, and later as repaired', async () => {
  const dir = freshDirectory();
  const { notices, kept } = keptNotices();
  const bus = await openBus(dir, 'a', notices);
  await watch(bus);
  const states = () => kept.flatMap((notice) => (notice.type === 'state' ? [`${notice.part} ${notice.ok}`] : []));
  const folder = path.join(dir, 'instances');
  fs.renameSync(folder, path.join(dir, 'elsewhere'));
  fs.writeFileSync(folder, 'a file, where the folder has to be');
  await until(() => states().length === 2, undefined, `two states, not ${states().join()}`);
  expect(states().toSorted()).toEqual(['directory false', 'registry false']);
  const looked = jest.spyOn(fs, 'readdirSync');
  await until(() => looked.mock.calls.length > 3);
  looked.mockRestore();
  expect(states()).toHaveLength(2);
  fs.rmSync(folder);
  await until(() => states().length === 4);
  expect(states().slice(2).toSorted()).toEqual(['directory true', 'registry true']);
});

test('a registry read recreates a missing folder, and rejects when it cannot be read', async () => {
  const dir = freshDirectory();
  const bus = await openBus(dir, 'a', undefined, clockWithout(pollMs));
  const { registry } = bus;
  const folder = path.join(dir, 'instances');
  const calls = [() => registry.all(), () => registry.find('x'), () => registry.watch('echo', () => undefined)];
  for (const call of calls) {
    fs.rmdirSync(folder);
    await call();
    expect(fs.existsSync(folder)).toBe(true);
  }
  fs.rmdirSync(folder);
  fs.writeFileSync(folder, 'a file, where the folder has to be');
  for (const call of calls) {
    await expect(call()).rejects.toMatchObject({
      code: 'Unreachable',
      message: expect.stringMatching(/instances cannot be read: ENOTDIR/),
      details: { outcome: 'not-sent' },
    });
  }
  fs.rmSync(folder);
});

test('a removed announcement is restored for all watchers within a second, and is reported', async () => {
  const dir = freshDirectory();
  const { notices, kept } = keptNotices();
  const [a, b] = [await openBus(dir, 'a', notices), await openBus(dir)];
  const seen = await watch(b);
  await a.registry.announce(instance(a.messenger.address, 'echo', { name: 'echo#a' }));
  const folder = path.join(dir, 'instances');
  for (const round of [1, 2]) {
    for (const name of fs.readdirSync(folder)) fs.rmSync(path.join(folder, name));
    const isBack = () => fs.readdirSync(folder).length === 1 && seen.names.length === 1;
    expect(await livedMs(until(isBack))).toBeLessThan(2 * pollMs);
    const made = kept.filter((notice) => notice.type === 'log' && notice.message.includes('announcement'));
    expect(made).toHaveLength(round);
  }
  expect(await names(b)).toEqual(['echo#a']);
  expect(filesOf(dir)).toHaveLength(3);
});

test('a removed socket is recreated for new instances, and no instance is reported as gone', async () => {
  const dir = freshDirectory();
  const { notices, kept } = keptNotices();
  const [a, b] = [await openBus(dir, 'a'), await openBus(dir, 'b', notices)];
  await a.registry.announce(instance(a.messenger.address, 'echo', { name: 'echo#a' }));
  expect((await watch(b)).names).toEqual(['echo#a']);
  fs.rmSync(path.join(dir, 's', a.messenger.address));
  const c = await openBus(dir, 'c');
  const heard = new Promise<string>((resolve) => {
    a.messenger.receive({ packet: ({ line }) => resolve(line), left: () => undefined });
  });
  await until(() => {
    try {
      c.messenger.send(a.messenger.address, { line: 'new', body: Buffer.alloc(0) });
      return fs.existsSync(path.join(dir, 's', a.messenger.address));
    } catch {
      return false; // it was refused while there was no socket
    }
  });
  expect(await heard).toBe('new');
  expect(kept.filter((notice) => notice.type === 'instance' && notice.change === 'gone')).toEqual([]);
  expect((await watch(c)).names).toEqual(['echo#a']);
});
