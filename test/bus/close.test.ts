/** Closing one `serve` or `listen` while its bus stays open. */
import { broadcast, defineModule, event, request, unchecked, work } from '../../src/index';
import { inspectedBuses } from '../support/inspected-buses';

const shop = defineModule('shop', {
  order: request(unchecked<number>(), unchecked<string>()),
  pack: work(unchecked<number>()),
  shut: broadcast(unchecked<number>()),
  sold: event(unchecked<number>()),
});
type Bus = Awaited<ReturnType<ReturnType<typeof inspectedBuses>['open']>>;

/** Handlers that end when the test calls `end`. */
function openHandlers(instance: string) {
  const started: string[] = [];
  const ends: (() => void)[] = [];
  const hang = (what: string) => (n: number) => {
    started.push(`${what} ${n}`);
    return new Promise<void>((resolve) => ends.push(resolve));
  };
  return {
    started,
    end: () => ends.splice(0).forEach((end) => end()),
    hang,
    all: {
      order: async (n: number) => {
        await hang('order')(n);
        return instance;
      },
      pack: hang('pack'),
      shut: hang('shut'),
    },
  };
}

/** Returns whether a promise has settled. */
function watch(promise: Promise<unknown>): { isSettled: boolean } {
  const seen = { isSettled: false };
  const settled = (): void => void (seen.isSettled = true);
  promise.then(settled, settled);
  return seen;
}

async function serving(bus: Bus, soon: <T>(promise: Promise<T>) => Promise<T>, instance: string) {
  const handlers = openHandlers(instance);
  const served = await soon(bus.serve(shop, handlers.all, { concurrency: 1 }));
  return { ...handlers, served };
}

test('closing a served contract waits for its running request and releases the waiting ones', async () => {
  const { clock, open, soon } = inspectedBuses();
  const [one, two, web] = [await open('shop'), await open('shop'), await open('web')];
  const first = await serving(one, soon, 'one');
  const asked = [1, 2, 3].map((n) => web.request(shop.order, n));
  await clock.advance(100);
  const second = await serving(two, soon, 'two');
  const closing = first.served.close();
  const closed = watch(closing);
  await clock.advance(500);
  expect(closed.isSettled).toBe(false);
  first.end();
  await soon(closing);
  for (let n = 0; n < 3; n++) {
    second.end();
    await clock.advance(100);
  }
  expect(await soon(Promise.all(asked))).toEqual(['one', 'two', 'two']);
  expect(first.started).toEqual(['order 1']);
});

test('a request that arrives after the close ends in NoHandler', async () => {
  const { clock, world, open, soon } = inspectedBuses();
  const [one, web] = [await open('shop'), await open('web')];
  const { served, end } = await serving(one, soon, 'one');
  const before = web.request(shop.order, 1);
  await clock.advance(100);
  end();
  await soon(before);
  world.faults = ({ call }) => (call === 'send' ? { delayMs: 50 } : undefined);
  const late = web.tryRequest(shop.order, 2);
  await soon(served.close());
  expect(await soon(late)).toMatchObject({
    error: { code: 'NoHandler', message: expect.stringContaining('no longer serves shop.order') },
  });
});

test('closing a served contract waits drainMs for requests, then aborts them', async () => {
  const { clock, open, soon } = inspectedBuses();
  const [one, web] = [await open('shop'), await open('web')];
  let reason: unknown;
  const served = await soon(
    one.serve(shop, {
      ...openHandlers('one').all,
      order: (_n, { signal }) =>
        new Promise(() => signal.addEventListener('abort', () => void (reason = signal.reason))),
    }),
  );
  void web.tryRequest(shop.order, 1, { timeoutMs: 60_000 });
  await clock.advance(100);
  const closing = watch(served.close());
  await clock.advance(900);
  expect([closing.isSettled, reason]).toEqual([false, undefined]);
  await clock.advance(200);
  expect([closing.isSettled, reason]).toEqual([true, expect.objectContaining({ code: 'Cancelled' })]);
});

test('closing a served contract waits drainMs for jobs, then aborts and releases them', async () => {
  const { clock, open, soon } = inspectedBuses();
  const [one, two, web] = [await open('shop'), await open('shop'), await open('web')];
  let reason: unknown;
  const served = await soon(
    one.serve(shop, {
      ...openHandlers('one').all,
      pack: (_n, { signal }) =>
        new Promise(() => signal.addEventListener('abort', () => void (reason = signal.reason))),
    }),
  );
  await soon(web.submit(shop.pack, 1));
  await clock.advance(100);
  const closing = watch(served.close());
  await clock.advance(900);
  expect([closing.isSettled, reason]).toEqual([false, undefined]);
  await clock.advance(600);
  expect([closing.isSettled, reason]).toEqual([true, expect.objectContaining({ name: 'PartitionLostError' })]);
  const second = await serving(two, soon, 'two');
  await clock.advance(1_000);
  expect(second.started).toEqual(['pack 1']);
  second.end();
});

test('closing a named listener waits drainMs for its events, then aborts them', async () => {
  const { clock, open, soon } = inspectedBuses();
  const [one, web] = [await open('shop'), await open('web')];
  let reason: unknown;
  const listening = await soon(
    one.listen(shop.sold, { as: 'index' }, (_n, { signal }) => {
      return new Promise(() => signal.addEventListener('abort', () => void (reason = signal.reason)));
    }),
  );
  await soon(web.publish(shop.sold, 1));
  await clock.advance(100);
  const closing = watch(listening.close());
  await clock.advance(900);
  expect([closing.isSettled, reason]).toEqual([false, undefined]);
  await clock.advance(600);
  expect([closing.isSettled, reason]).toEqual([true, expect.objectContaining({ name: 'PartitionLostError' })]);
});

test('closing a served contract waits for its running broadcast and drops waiting ones', async () => {
  const { clock, open, soon } = inspectedBuses();
  const [one, web] = [await open('shop'), await open('web')];
  const { served, started, end } = await serving(one, soon, 'one');
  const reasons: string[] = [];
  one.watch((notice) => notice.type === 'dropped' && reasons.push(notice.reason));
  for (const n of [1, 2, 3]) await soon(web.broadcast(shop.shut, n));
  await clock.advance(100);
  const closing = served.close();
  const closed = watch(closing);
  await clock.advance(500);
  expect(closed.isSettled).toBe(false);
  end();
  await soon(closing);
  await clock.advance(100);
  expect(started).toEqual(['shut 1']);
  expect(reasons).toEqual(Array(2).fill('its handler was closed before it was started'));
});

test('closing a plain listener waits for running events and starts no others', async () => {
  const { clock, open, soon } = inspectedBuses();
  const [one, web] = [await open('shop'), await open('web')];
  const { started, end, hang } = openHandlers('one');
  const listening = await soon(one.listen(shop.sold, hang('sold')));
  // Events without a key are spread over 100 lanes.
  await soon(
    web.publishAll(
      shop.sold,
      Array.from({ length: 150 }, (_, n) => n),
    ),
  );
  await clock.advance(1_000);
  const closing = listening.close();
  const closed = watch(closing);
  await clock.advance(500);
  expect([closed.isSettled, started.length]).toEqual([false, 100]);
  end();
  await soon(closing);
  await clock.advance(100);
  expect(started).toHaveLength(100);
});

test('a failed announcement rejects the close, closes the rest, and can be retried', async () => {
  const { clock, world, open, soon } = inspectedBuses();
  const [one, web] = [await open('shop'), await open('web')];
  const { served, started } = await serving(one, soon, 'one');
  world.faults = ({ call }) =>
    call === 'announce' ? { error: new Error('ENOENT: no such file or directory'), done: false } : undefined;
  const failing = served.close().catch((error: unknown) => error);
  expect(await soon(failing)).toMatchObject({
    name: 'BusError',
    code: 'Unreachable',
    message: expect.stringContaining('ENOENT'),
    remedy: expect.stringContaining('make the same call again'),
  });
  await soon(web.submit(shop.pack, 1));
  await soon(web.broadcast(shop.shut, 2));
  expect(await soon(web.tryRequest(shop.order, 3))).toMatchObject({ error: { code: 'NoHandler' } });
  await clock.advance(1_000);
  expect(started).toEqual([]);
  world.faults = () => undefined;
  await soon(served.close());
  expect(await soon(web.tryRequest(shop.order, 4))).toMatchObject({ error: { code: 'NoHandler' } });
  const again = await serving(one, soon, 'one');
  await clock.advance(1_000);
  expect(again.started).toEqual(['pack 1']);
  again.end();
  await soon(again.served.close());
});

test('serve rejects when it cannot announce, and can be called again', async () => {
  const { world, open, soon } = inspectedBuses();
  const one = await open('shop');
  world.faults = ({ call }) =>
    call === 'announce' ? { error: new Error('EACCES: permission denied'), done: false } : undefined;
  const failing = serving(one, soon, 'one').catch((error: unknown) => error);
  expect(await failing).toMatchObject({ code: 'Unreachable', message: expect.stringContaining('EACCES') });
  world.faults = () => undefined;
  await soon((await serving(one, soon, 'one')).served.close());
});

test('a named listener whose close failed keeps its name until a second close succeeds', async () => {
  const { world, open, soon } = inspectedBuses();
  const one = await open('shop');
  const listen = () => soon(one.listen(shop.sold, { as: 'index' }, () => undefined));
  const listening = await listen();
  world.faults = ({ call }) => (call === 'leave' ? { error: new Error('ECONNRESET'), done: false } : undefined);
  expect(
    await soon(
      listening.close().catch((error: unknown) => error),
      3_600_000,
    ),
  ).toMatchObject({
    message: 'ECONNRESET',
  });
  await expect(listen()).rejects.toMatchObject({ code: 'Config', message: expect.stringContaining("'index'") });
  world.faults = undefined;
  await soon(listening.close());
  await soon((await listen()).close());
});
