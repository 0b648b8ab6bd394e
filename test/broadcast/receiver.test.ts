import { z } from 'zod';
import { limits } from '../../src/base/limits';
import { openNotices } from '../../src/base/notices';
import { createBroadcastReceiver } from '../../src/broadcast/receiver';
import type { Run } from '../../src/delivery/deliver';
import { openScopes } from '../../src/delivery/context';
import { encodeBody } from '../../src/format/codec';
import { broadcast, defineModule, event, unchecked, type Context } from '../../src/index';
import { virtualClock } from '../../src/memory';
import { testBus, type TestBus } from '../../src/testing';

const web = defineModule('web', { dropCache: broadcast(z.object({ n: z.number() })) });
const photos = defineModule('photos', {
  added: event(z.object({ n: z.number(), key: z.string() }), { key: (photo) => photo.key }),
});

async function instances(bus: TestBus, count: number): Promise<number[][]> {
  const heard: number[][] = [];
  for (let i = 0; i < count; i++) {
    const mine: number[] = [];
    heard.push(mine);
    await bus.as(web).serve(web, { dropCache: ({ n }) => void mine.push(n) });
  }
  return heard;
}

test('a broadcast reaches every running instance in the order of its sender', async () => {
  const bus = testBus('admin');
  const heard = await instances(bus, 3);
  for (let n = 0; n < 20; n++) await bus.broadcast(web.dropCache, { n });
  await bus.settled();
  expect(heard).toEqual(Array(3).fill(Array.from({ length: 20 }, (_, n) => n)));
});

test('an overtaking broadcast to another module is not dropped as a duplicate', () => {
  const notices = openNotices();
  const told: string[] = [];
  notices.watch((notice) => {
    if (notice.type === 'received') told.push(notice.entry);
    if (notice.type === 'dropped') told.push(notice.reason);
  });
  const receiver = createBroadcastReceiver({ clock: virtualClock(), notices, scopes: openScopes(), middleware: [] });
  const cache = defineModule('cache', { clear: broadcast(z.number()) });
  receiver.add(web.dropCache, () => undefined);
  receiver.add(cache.clear, () => undefined);
  const hear = (entry: string, position: number): void => {
    const stamp = { incarnation: '0123456789abcdef', position };
    receiver.receive({ kind: 'broadcast', entry, id: `id${position}`, from: 'admin#1', stamp }, encodeBody(1, 100));
  };
  hear('cache.clear', 2);
  hear('web.dropCache', 1);
  hear('cache.clear', 2);
  expect(told).toEqual(['cache.clear', 'web.dropCache', 'it arrived twice']);
});

test.each([
  ['many', 1, limits.bufferMessagesMax / 2],
  ['large broadcasts', 900_000, Math.floor(limits.bufferBytesMax / 2 / 900_005)],
])('a hung handler for one sender does not block other senders, despite %s', async (_what, size, half) => {
  const notices = openNotices();
  const heard: string[] = [];
  let dropped = 0;
  notices.watch(({ type }) => void (dropped += type === 'dropped' ? 1 : 0));
  const receiver = createBroadcastReceiver({ clock: virtualClock(), notices, scopes: openScopes(), middleware: [] });
  const clear = defineModule('cache', { clear: broadcast(unchecked<string>()) }).clear;
  let goOn = (): void => {};
  const hung = new Promise<void>((resolve) => (goOn = resolve));
  receiver.add(clear, (_body, { from }) => {
    heard.push(from.instance);
    return from.instance === 'hung#1' ? hung : undefined;
  });
  const body = encodeBody('x'.repeat(size), 1_000_000);
  const hear = (from: string): void => receiver.receive({ kind: 'broadcast', entry: clear.name, id: 'id', from }, body);
  for (let n = 0; n < half + 3; n++) hear('hung#1');
  expect([receiver.waiting, dropped]).toEqual([half, 3]);
  hear('other#1');
  expect(heard).toEqual(['hung#1', 'other#1']);
  goOn();
  await receiver.drain(1_000);
  expect([receiver.waiting, heard.length]).toEqual([0, half + 1]);
});

test('a broadcast without a receiver resolves', async () => {
  await expect(testBus('admin').broadcast(web.dropCache, { n: 1 })).resolves.toHaveProperty('id');
});

test("a slow broadcast handler delays its sender's next broadcast, but no other sender", async () => {
  const bus = testBus('admin');
  const other = bus.as('other');
  const heard: number[] = [];
  let goOn = (): void => {};
  await bus.as(web).serve(web, {
    dropCache: ({ n }) => {
      heard.push(n);
      return n === 0 ? new Promise((resolve) => (goOn = resolve)) : undefined;
    },
  });
  await bus.broadcast(web.dropCache, { n: 0 });
  await bus.broadcast(web.dropCache, { n: 1 });
  await other.broadcast(web.dropCache, { n: 2 });
  await bus.clock.advance(0);
  expect(heard).toEqual([0, 2]);
  goOn();
  await bus.settled();
  expect(heard).toEqual([0, 2, 1]);
});

test('a broadcast that breaks its schema is Invalid at the sender', async () => {
  await expect(testBus('admin').broadcast(web.dropCache, { n: 'x' } as never)).rejects.toMatchObject({
    code: 'Invalid',
  });
});

test('a handler that throws emits a notice, and the next broadcast is handled', async () => {
  const bus = testBus(web);
  const dropped: string[] = [];
  bus.watch((notice) => notice.type === 'dropped' && dropped.push(notice.reason));
  const heard: number[] = [];
  await bus.serve(web, {
    dropCache({ n }) {
      if (n === 1) throw new Error('cache is stuck');
      heard.push(n);
    },
  });
  for (const n of [0, 1, 2]) await bus.broadcast(web.dropCache, { n });
  await bus.settled();
  expect(heard).toEqual([0, 2]);
  expect(dropped).toEqual(['its handler failed: cache is stuck']);
});

test('every listening instance receives all later events', async () => {
  const bus = testBus(photos);
  await bus.publish(photos.added, { n: 0, key: 'a' });
  const heard: number[][] = [[], []];
  for (const mine of heard) await bus.as('web').listen(photos.added, ({ n }) => void mine.push(n));
  for (let n = 1; n <= 10; n++) await bus.publish(photos.added, { n, key: 'a' });
  await bus.settled();
  expect(heard).toEqual(Array(2).fill([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
});

test('a closed listener receives no more events', async () => {
  const bus = testBus(photos);
  const heard: number[] = [];
  const listening = await bus.as('web').listen(photos.added, ({ n }) => void heard.push(n));
  await bus.publish(photos.added, { n: 1, key: 'a' });
  await bus.settled();
  await listening.close();
  await bus.publish(photos.added, { n: 2, key: 'a' });
  await bus.settled();
  expect(heard).toEqual([1]);
});

test('a bus closes after drainMs although a broadcast handler and a listener hang', async () => {
  const bus = testBus(web);
  await bus.serve(web, { dropCache: () => new Promise(() => {}) });
  await bus.listen(photos.added, () => new Promise(() => {}));
  await bus.broadcast(web.dropCache, { n: 1 });
  await bus.as(photos).publish(photos.added, { n: 1, key: 'a' });
  await bus.clock.advance(1);
  let closed = false;
  void bus.close().then(() => (closed = true));
  await bus.clock.advance(9_000);
  expect(closed).toBe(false);
  await bus.clock.advance(12_000);
  expect(closed).toBe(true);
});

/** Records the calls of handlers. A call ends when the test ends it, whether or not its signal aborts. */
function hanging() {
  const started: string[] = [];
  const aborts: string[] = [];
  const ends: (() => void)[] = [];
  const hang =
    (what: string) =>
    ({ n }: { readonly n: number }, { signal }: Context): Promise<void> => {
      started.push(`${what} ${n}`);
      signal.addEventListener('abort', () => aborts.push(`${what} ${n}: ${(signal.reason as Error).message}`));
      return new Promise((resolve) => ends.push(resolve));
    };
  return { started, aborts, hang, end: () => ends.splice(0).forEach((end) => end()) };
}
function droppedBy(bus: TestBus): string[] {
  const dropped: string[] = [];
  bus.watch((notice) => notice.type === 'dropped' && dropped.push(`${notice.entry}: ${notice.reason}`));
  return dropped;
}

test('after a bus has closed, no waiting broadcast or event starts, and the signals of running handlers have aborted', async () => {
  const bus = testBus(web);
  const { started, aborts, hang, end } = hanging();
  const dropped = droppedBy(bus);
  await bus.serve(web, { dropCache: hang('broadcast') });
  await bus.listen(photos.added, hang('event'));
  const [admin, sender] = [bus.as('admin'), bus.as(photos)];
  for (const n of [1, 2]) await admin.broadcast(web.dropCache, { n });
  for (const n of [1, 2]) await sender.publish(photos.added, { n, key: 'a' });
  await bus.clock.advance(100);
  const closing = bus.close();
  await bus.clock.advance(25_000);
  await closing;
  expect(aborts.toSorted()).toEqual([
    'broadcast 1: this instance is leaving',
    'event 1: this instance no longer listens',
  ]);
  expect(dropped.toSorted()).toEqual([
    'photos.added: its listener was closed before it was started',
    'web.dropCache: its handler was closed before it was started',
  ]);
  end();
  await bus.clock.advance(1_000);
  expect(started.toSorted()).toEqual(['broadcast 1', 'event 1']);
});

test('a bus that closes still handles broadcasts and events that wait, as long as drainMs lasts', async () => {
  const bus = testBus(web);
  const { started, aborts, hang, end } = hanging();
  await bus.serve(web, { dropCache: hang('broadcast') });
  await bus.listen(photos.added, hang('event'));
  const [admin, sender] = [bus.as('admin'), bus.as(photos)];
  for (const n of [1, 2]) await admin.broadcast(web.dropCache, { n });
  for (const n of [1, 2]) await sender.publish(photos.added, { n, key: 'a' });
  await bus.clock.advance(100);
  const closing = bus.close();
  for (let n = 0; n < 2; n++) {
    await bus.clock.advance(3_000);
    end();
  }
  await bus.clock.advance(5_000);
  await closing;
  expect(started.toSorted()).toEqual(['broadcast 1', 'broadcast 2', 'event 1', 'event 2']);
  expect(aborts).toEqual([]);
});

test('closing one contract of several aborts and drops its broadcasts after drainMs, and only its own', async () => {
  const [clock, notices] = [virtualClock(), openNotices()];
  const dropped: string[] = [];
  notices.watch((notice) => notice.type === 'dropped' && dropped.push(`${notice.entry}: ${notice.reason}`));
  const receiver = createBroadcastReceiver({ clock, notices, scopes: openScopes(), middleware: [] });
  const cache = defineModule('cache', { clear: broadcast(z.object({ n: z.number() })) });
  const { started, aborts, hang, end } = hanging();
  // The casts restore the body's type, which the schema of the entry checks.
  receiver.add(web.dropCache, hang('web') as Run);
  receiver.add(cache.clear, hang('cache') as Run);
  const hear = (entry: string, n: number): void =>
    receiver.receive({ kind: 'broadcast', entry, id: `id${n}`, from: `${entry}#1` }, encodeBody({ n }, 100));
  for (const n of [1, 2]) for (const entry of ['web.dropCache', 'cache.clear']) hear(entry, n);
  const closing = receiver.close(['web.dropCache'], 1_000);
  expect(dropped).toEqual(['web.dropCache: its handler was closed before it was started']);
  await clock.advance(999);
  expect(aborts).toEqual([]);
  await clock.advance(1);
  await closing;
  expect(aborts).toEqual(['web 1: web.dropCache is no longer served']);
  end();
  await clock.advance(100);
  expect(started).toEqual(['web 1', 'cache 1', 'cache 2']);
  expect([aborts.length, dropped.length]).toEqual([1, 1]);
});

test('a broadcast whose body is still being checked does not start after its handler was closed', async () => {
  let check = (): void => undefined;
  const slow = z
    .object({ n: z.number() })
    .refine(() => new Promise<boolean>((resolve) => (check = () => resolve(true))));
  const cache = defineModule('cache', { clear: broadcast(slow) });
  const bus = testBus(cache);
  const { started, hang } = hanging();
  const served = await bus.serve(cache, { clear: hang('cache') });
  const sending = bus.as('admin').broadcast(cache.clear, { n: 1 });
  await bus.clock.advance(10);
  check(); // at the sender
  await sending;
  await bus.clock.advance(100);
  const closing = served.close();
  await bus.clock.advance(15_000);
  await closing;
  check();
  await bus.clock.advance(100);
  expect(started).toEqual([]);
});

test('closing one plain listener aborts its event after drainMs, and the other listener of the topic goes on', async () => {
  const bus = testBus(web);
  const { started, aborts, hang, end } = hanging();
  const listening = await bus.listen(photos.added, hang('one'));
  await bus.listen(photos.added, hang('two'));
  for (const n of [1, 2]) await bus.as(photos).publish(photos.added, { n, key: 'a' });
  await bus.clock.advance(100);
  const closing = listening.close();
  await bus.clock.advance(15_000);
  await closing;
  expect(aborts).toEqual(['one 1: the listener of photos.added was closed']);
  for (let n = 0; n < 3; n++) {
    end();
    await bus.clock.advance(100);
  }
  expect(started).toEqual(['one 1', 'two 1', 'two 2']);
  expect(aborts).toHaveLength(1);
});
