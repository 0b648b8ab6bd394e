/** Broadcasts over real sockets and processes: their receivers, the waits of the sender, and its memory. */
import type { Notice } from '../../src/base/notices';
import type { Embedded } from '../../src/embedded/open';
import { instance } from './instance';
import {
  cleanUp,
  freshDirectory,
  keptNotices,
  openBus,
  startChild,
  until,
  type Child,
} from '../support/embedded-buses';

afterEach(cleanUp);
jest.setTimeout(240_000);

interface Counted {
  readonly packets: number;
  readonly bytes: number;
  readonly inOrder: boolean;
}
async function counted(child: Child): Promise<Counted> {
  child.tell('tell');
  return (await child.next()) as Counted; // sent by the role `count`
}
async function receives(child: Child, packets: number): Promise<Counted> {
  return until(async () => {
    const found = await counted(child);
    return found.packets >= packets && found;
  }, 120_000);
}
/** Starts a process of the module `web` that counts the packets that it receives. */
async function startReceiver(dir: string): Promise<{ child: Child; address: string }> {
  const child = startChild('count', dir, 'web');
  return { child, address: String(await child.next()) };
}
async function sender(dir: string): Promise<{ bus: Embedded; dropped: () => string[] }> {
  const { notices, kept } = keptNotices();
  const bus = await openBus(dir, 'admin#0000', notices);
  const isDropped = (notice: Notice): notice is Extract<Notice, { type: 'dropped' }> => notice.type === 'dropped';
  return { bus, dropped: () => kept.filter(isDropped).map(({ reason }) => reason) };
}

test('20,000 awaited broadcasts of 8 KB arrive in order, while timers of the sender run', async () => {
  const dir = freshDirectory();
  const { child } = await startReceiver(dir);
  const { bus, dropped } = await sender(dir);
  const body = Buffer.alloc(8_192);
  let ticks = 0;
  const ticking = setInterval(() => ticks++, 1);
  for (let n = 0; n < 20_000; n++) expect(await bus.messenger.broadcast('web', { line: `${n}`, body })).toBe(1);
  clearInterval(ticking);
  expect(await receives(child, 20_000)).toEqual({ packets: 20_000, bytes: 20_000 * 8_192, inOrder: true });
  expect(dropped()).toEqual([]);
  expect(ticks).toBeGreaterThan(100);
});

test('all resolved broadcasts arrive, although their sender is killed right after the last one', async () => {
  for (let round = 0; round < 3; round++) {
    const dir = freshDirectory();
    const { child } = await startReceiver(dir);
    startChild('shout', dir, 'web', '500', '2000');
    expect(await receives(child, 500)).toEqual({ packets: 500, bytes: 1_000_000, inOrder: true });
  }
});

test('a stopped receiver gets all waiting broadcasts in order when it continues', async () => {
  const dir = freshDirectory();
  const [{ child: reads }, { child: stopped }] = [await startReceiver(dir), await startReceiver(dir)];
  const { bus, dropped } = await sender(dir);
  await bus.messenger.broadcast('web', { line: '0', body: Buffer.alloc(1) });
  stopped.process.kill('SIGSTOP');
  // The kernel buffers a part of it; 20 MB wait in this process.
  const body = Buffer.alloc(10_000);
  for (let n = 1; n <= 2_000; n++) expect(await bus.messenger.broadcast('web', { line: `${n}`, body })).toBe(2);
  expect(await receives(reads, 2_001)).toMatchObject({ packets: 2_001, inOrder: true });
  stopped.process.kill('SIGCONT');
  expect(await receives(stopped, 2_001)).toMatchObject({ packets: 2_001, inOrder: true });
  expect(dropped()).toEqual([]);
});

test('a sender keeps 64 MiB for a stopped receiver, and drops more with a notice', async () => {
  const dir = freshDirectory();
  const [{ child: reads }, { child: stopped, address }] = [await startReceiver(dir), await startReceiver(dir)];
  const { bus, dropped } = await sender(dir);
  await bus.messenger.broadcast('web', { line: '0', body: Buffer.alloc(1) });
  stopped.process.kill('SIGSTOP');
  const before = process.memoryUsage().rss;
  const body = Buffer.alloc(100_000);
  const handedOver: number[] = [];
  for (let n = 1; n <= 1_000; n++)
    handedOver.push((await bus.messenger.broadcast('web', { line: `${n}`, body })) ?? Infinity);
  expect(process.memoryUsage().rss - before).toBeLessThan(160 * 1024 * 1024);
  const kept = handedOver.filter((count) => count === 2).length;
  expect(kept * body.length).toBeGreaterThan(60 * 1024 * 1024);
  expect(kept * body.length).toBeLessThan(70 * 1024 * 1024);
  expect(dropped()).toHaveLength(1_000 - kept);
  const { name } = instance(address, 'web');
  expect(dropped()[0]).toMatch(new RegExp(`^to ${name}: it has read nothing for 1000 ms or longer`));
  expect(await receives(reads, 1_001)).toMatchObject({ packets: 1_001, inOrder: true });
  stopped.process.kill('SIGCONT');
  expect(await receives(stopped, kept + 1)).toMatchObject({ packets: kept + 1, inOrder: true });
});

test('unawaited broadcasts wait for a reading receiver up to the limit, then reject with Overloaded', async () => {
  const dir = freshDirectory();
  const { child } = await startReceiver(dir);
  const { bus, dropped } = await sender(dir);
  const body = Buffer.alloc(8_192);
  await bus.messenger.broadcast('web', { line: '-1', body }); // connects first, so that the calls below do not wait for a connection
  const ends = new Map<string, number>();
  const count = (end: string): void => void ends.set(end, (ends.get(end) ?? 0) + 1);
  const all = Array.from({ length: 20_000 }, (_, n) =>
    bus.messenger.broadcast('web', { line: `${n}`, body }).then(
      (handedOver) => count(`to ${handedOver}`),
      (error: { code: string }) => count(error.code),
    ),
  );
  await Promise.all(all);
  const resolved = ends.get('to 1') ?? 0;
  expect(Object.fromEntries(ends)).toEqual({ Overloaded: 20_000 - resolved, 'to 1': resolved });
  expect(resolved * body.length).toBeGreaterThan(60 * 1024 * 1024);
  expect(await receives(child, resolved + 1)).toMatchObject({ packets: resolved + 1, inOrder: true });
  expect(dropped()).toEqual([]);
});

test('requests to a receiver do not wait behind all broadcasts to it', async () => {
  const dir = freshDirectory();
  const { bus } = await sender(dir);
  const other = await openBus(dir);
  const order: string[] = [];
  other.messenger.receive({ packet: ({ line }) => order.push(line), left: () => undefined });
  await other.registry.announce(instance(other.messenger.address, 'web'));
  const body = Buffer.alloc(8_192);
  const all = Array.from({ length: 5_000 }, (_, n) => bus.messenger.broadcast('web', { line: `${n}`, body }));
  bus.messenger.send(other.messenger.address, { line: 'request', body: Buffer.alloc(1) });
  await Promise.all(all);
  await until(() => order.length === 5_001);
  expect(order.indexOf('request')).toBeLessThan(500);
});

test('a broadcast carries its body as of the call, although the sender overwrites it', async () => {
  const dir = freshDirectory();
  const { bus } = await sender(dir);
  const other = await openBus(dir);
  const bodies: number[] = [];
  other.messenger.receive({ packet: ({ body }) => bodies.push(body[0] ?? -1), left: () => undefined });
  await other.registry.announce(instance(other.messenger.address, 'web'));
  const body = Buffer.alloc(200_000);
  const all = Array.from({ length: 20 }, (_, n) => {
    body.fill(n);
    return bus.messenger.broadcast('web', { line: `${n}`, body });
  });
  body.fill(255);
  await Promise.all(all);
  await until(() => bodies.length === 20);
  expect(bodies).toEqual(Array.from({ length: 20 }, (_, n) => n));
});

test('broadcasts that still wait when their sender closes arrive', async () => {
  const dir = freshDirectory();
  const { child } = await startReceiver(dir);
  const { bus, dropped } = await sender(dir);
  const body = Buffer.alloc(8_192);
  const all = Array.from({ length: 2_000 }, (_, n) => bus.messenger.broadcast('web', { line: `${n}`, body }));
  await bus.close();
  expect(await Promise.all(all)).toEqual(Array(2_000).fill(1));
  expect(await receives(child, 2_000)).toMatchObject({ packets: 2_000, inOrder: true });
  expect(dropped()).toEqual([]);
});
