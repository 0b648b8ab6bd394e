/** The registry between processes: who appears is seen at once, who dies is gone within a second, and nobody else with it. */
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
} from './kit';

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

test('what announce and withdraw tell is seen by everybody when they resolve', async () => {
  const dir = freshDirectory();
  // It would not wait for ever for a child that the machine does not let run.
  const [a, b] = [await openBus(dir, 'a', undefined, clockWithout(heardWithinMs)), await openBus(dir)];
  const seen = await watch(b);
  const child = startChild('watch', dir, 'echo');
  expect(await child.next()).toMatchObject({ names: [] });
  const mine = instance(a.post.address, 'echo', { name: 'echo#a' });
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

test('a process killed with -9 is gone for all watchers within a second, and its files too', async () => {
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

test('whoever watches a process that nobody else knows notices its end too', async () => {
  const dir = freshDirectory();
  const child = startChild('echo', dir, 'echo#1');
  await child.next();
  const late = await openBus(dir, 'late', undefined, clockWithout(pollMs)); // by its connection, not by looking
  const seen = await watch(late);
  expect(seen.names).toEqual(['echo#1']);
  await child.kill();
  await until(() => seen.names.length === 0);
  expect(filesOf(dir)).toEqual([late.post.address]);
});

test('whoever opens after a crash finds nothing of it, and removes it', async () => {
  const dir = freshDirectory();
  const child = startChild('echo', dir, 'echo#1');
  await child.next();
  await child.kill();
  expect(filesOf(dir)).toHaveLength(2);
  const bus = await openBus(dir);
  expect((await watch(bus)).names).toEqual([]);
  expect(filesOf(dir)).toEqual([bus.post.address]);
});

test('a restart with the same name is seen, and what cleans up after the first life leaves the second alone', async () => {
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

test('a name that is alive cannot be announced a second time', async () => {
  const dir = freshDirectory();
  const [a, b] = [await openBus(dir), await openBus(dir)];
  await a.registry.announce(instance(a.post.address, 'echo', { name: 'echo#1' }));
  const again = instance(b.post.address, 'echo', { name: 'echo#1' });
  await expect(b.registry.announce(again)).rejects.toMatchObject({ code: 'Conflict', details: { key: 'echo#1' } });
  await a.registry.withdraw();
  await b.registry.announce(again);
  expect(await names(a)).toEqual(['echo#1']);
});

test('a stopped process stays announced, and holds up announcements by 200 ms at most', async () => {
  const dir = freshDirectory();
  const [a, b] = [await openBus(dir), await openBus(dir)];
  const seen = await watch(a);
  const child = startChild('echo', dir, 'echo#1');
  await child.next();
  child.process.kill('SIGSTOP');
  const announcing = b.registry.announce(instance(b.post.address, 'echo', { name: 'echo#2' }));
  expect(await livedMs(announcing)).toBeLessThan(400);
  expect(seen.names).toEqual(['echo#1', 'echo#2']);
  expect(await names(a)).toEqual(['echo#1', 'echo#2']);
  child.process.kill('SIGCONT');
  const contact = new Promise<string>((resolve) => {
    a.post.receive({ packet: ({ line }) => resolve(line), gone: () => undefined });
  });
  a.post.send(String(child.said()), { line: 'awake', body: Buffer.alloc(0) });
  expect(await contact).toBe('awake');
});

test('50 instances appear and go, and all 50 agree in the end', async () => {
  const dir = freshDirectory();
  const buses = await Promise.all(Array.from({ length: 50 }, () => openBus(dir)));
  const seen = await Promise.all(buses.map((bus) => watch(bus)));
  for (const [at, { post, registry }] of buses.entries()) {
    await registry.announce(instance(post.address, 'echo', { name: `echo#${at}` }));
  }
  await until(() => seen.every((one) => one.names.length === 50));
  await Promise.all(buses.slice(10).map((bus) => bus.registry.withdraw()));
  await until(() => seen.every((one) => one.names.length === 10));
  await Promise.all(buses.slice(0, 9).map((bus) => bus.close()));
  await until(() => seen.slice(9).every((one) => one.names.length === 1));
  expect(seen[49]?.names).toEqual(['echo#9']);
});

test('a lost doorbell is made up for by looking again', async () => {
  const dir = freshDirectory();
  const [a, b] = [await openBus(dir), await openBus(dir)];
  const seen = await watch(b);
  // As a process would that died between its file and its doorbell: a file appears, and nobody rings.
  const file = path.join(dir, 'instances', `${a.post.address}.1`);
  fs.writeFileSync(file, JSON.stringify(instance(a.post.address, 'echo', { name: 'echo#quiet' })));
  expect(await until(() => seen.names[0] === 'echo#quiet')).toBe(true);
  fs.rmSync(file);
  expect(await until(() => seen.names.length === 0)).toBe(true);
});

test('a damaged announcement is told once and left out; the others are seen', async () => {
  const dir = freshDirectory();
  const { notices, kept } = keptNotices();
  const [a, b] = [await openBus(dir), await openBus(dir, 'b', notices)];
  const wrongPrint = JSON.stringify({ ...instance(a.post.address, 'echo'), serves: { echo: 1 } });
  for (const [change, text] of ['{', '[]', 'null', '{"name":"x"}', wrongPrint].entries()) {
    const file = path.join(dir, 'instances', `${a.post.address}.${change + 1}`);
    fs.writeFileSync(file, text);
    await names(b);
    await names(b);
    fs.rmSync(file);
  }
  expect(kept.filter(({ type }) => type === 'dropped')).toHaveLength(5);
  await b.registry.announce(instance(b.post.address, 'echo', { name: 'echo#b' }));
  expect(await names(b)).toEqual(['echo#b']);
});

test('an instance that watches its own module does not connect to itself', async () => {
  const dir = freshDirectory();
  const { notices, kept } = keptNotices();
  const [a, b] = [await openBus(dir, 'a', notices), await openBus(dir)];
  const seen = await watch(a);
  await a.registry.announce(instance(a.post.address, 'echo', { name: 'echo#a' }));
  expect(seen.names).toEqual(['echo#a']);
  for (let n = 0; n < 5; n++) {
    const heard = new Promise((resolve) => a.post.receive({ packet: resolve, gone: () => undefined }));
    b.post.send(a.post.address, { line: `${n}`, body: Buffer.alloc(0) });
    await heard; // by then it would have heard itself too
  }
  expect(kept.filter(({ type }) => type === 'dropped')).toEqual([]);
});

test('a watcher of a contract named like a property of every object sees nobody', async () => {
  const bus = await openBus(freshDirectory());
  await bus.registry.announce(instance(bus.post.address, 'echo'));
  for (const contract of ['constructor', 'toString', '__proto__'])
    expect((await watch(bus, contract)).names).toEqual([]);
});

test('announcements that cannot be read are one state, also when it lasts, and end nothing', async () => {
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

test('a call that reads the registry recreates a missing folder, and names one that cannot be read', async () => {
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

test('an announcement that was removed is back for all watchers within a second, and is reported', async () => {
  const dir = freshDirectory();
  const { notices, kept } = keptNotices();
  const [a, b] = [await openBus(dir, 'a', notices), await openBus(dir)];
  const seen = await watch(b);
  await a.registry.announce(instance(a.post.address, 'echo', { name: 'echo#a' }));
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

test('a socket that was removed is made again: no instance is taken for dead, and new ones reach it', async () => {
  const dir = freshDirectory();
  const { notices, kept } = keptNotices();
  const [a, b] = [await openBus(dir, 'a'), await openBus(dir, 'b', notices)];
  await a.registry.announce(instance(a.post.address, 'echo', { name: 'echo#a' }));
  expect((await watch(b)).names).toEqual(['echo#a']);
  fs.rmSync(path.join(dir, 's', a.post.address));
  const c = await openBus(dir, 'c');
  const heard = new Promise<string>((resolve) => {
    a.post.receive({ packet: ({ line }) => resolve(line), gone: () => undefined });
  });
  await until(() => {
    try {
      c.post.send(a.post.address, { line: 'new', body: Buffer.alloc(0) });
      return fs.existsSync(path.join(dir, 's', a.post.address));
    } catch {
      return false; // it was refused while there was no socket
    }
  });
  expect(await heard).toBe('new');
  expect(kept.filter((notice) => notice.type === 'instance' && notice.change === 'gone')).toEqual([]);
  expect((await watch(c)).names).toEqual(['echo#a']);
});
