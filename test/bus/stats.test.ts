import { openStats, type BusStats } from '../../src/bus/stats';
import { choose, dropChosen } from '../../src/inspect/repair';
import { virtualClock } from '../../src/memory';
import { photos, inspectedBuses, type Job } from '../support/inspected-buses';

const never = (): Promise<never> => new Promise(() => undefined);
const jobs = (count: number): Job[] => Array.from({ length: count }, (_, n) => ({ n, key: `k${n}` }));

test('waiting messages include those in the log, and the oldest is the one that runs', async () => {
  const r = inspectedBuses();
  const bus = await r.open('photos');
  await bus.serve(photos, { add: () => '', resize: never, rotate: () => {} }, { concurrency: { resize: 2 } });
  await bus.submitAll(photos.resize, jobs(1_000));
  await r.clock.advance(5_000);
  const { queues } = await r.soon(bus.stats());
  expect(queues.find(({ queue }) => queue === 'photos.work')).toEqual({
    queue: 'photos.work',
    waiting: 998,
    oldestMs: expect.any(Number),
    entries: [{ entry: 'photos.resize', running: 2, limit: 2, inBackoff: 0 }],
  });
  const oldestMs = queues.find(({ queue }) => queue === 'photos.work')?.oldestMs ?? 0;
  expect(oldestMs).toBeGreaterThanOrEqual(5_000);
  expect(oldestMs).toBeLessThan(6_000);
  expect(queues.find(({ queue }) => queue === 'photos.slow')).toMatchObject({ waiting: 0, oldestMs: null });
});

test('two instances add up to the messages of the queue', async () => {
  const r = inspectedBuses();
  const buses = [await r.open('photos'), await r.open('photos')];
  for (const bus of buses)
    await bus.serve(photos, { add: () => '', resize: never, rotate: () => {} }, { concurrency: { resize: 1 } });
  await r.clock.advance(20_000);
  await buses[0]?.submitAll(photos.resize, jobs(500));
  await r.clock.advance(5_000);
  const stats = await Promise.all(buses.map((bus) => r.soon(bus.stats())));
  const waiting = stats.map(({ queues }) => queues.find(({ queue }) => queue === 'photos.work')?.waiting ?? 0);
  expect(Math.min(...waiting)).toBeGreaterThan(0);
  expect((waiting[0] ?? 0) + (waiting[1] ?? 0)).toBe(498);
});

test('messages in backoff and parked ones are counted by entry, and dropped ones no longer', async () => {
  const r = inspectedBuses();
  const bus = await r.open('photos');
  const resize = ({ n }: Job, { park }: { readonly park: (reason: string) => never }): void => {
    if (n === 1) park('odd');
    throw new Error('no disk');
  };
  await bus.serve(photos, { add: () => '', resize, rotate: (_, { park }) => park('square') });
  await bus.submitAll(photos.resize, jobs(4));
  await bus.submitAll(photos.rotate, jobs(2));
  await r.clock.advance(5_000);
  const { queues, parked } = await r.soon(bus.stats());
  expect(queues.find(({ queue }) => queue === 'photos.work')?.entries).toMatchObject([{ inBackoff: 3 }]);
  expect(parked).toEqual([
    { queue: 'photos.work', entry: 'photos.resize', count: 1 },
    { queue: 'photos.slow', entry: 'photos.rotate', count: 2 },
  ]);
  const { parts } = await r.inspector();
  const chosen = await r.soon(choose(parts, 'photos.slow', {}));
  await r.soon(dropChosen(parts, chosen, { signal: new AbortController().signal }));
  expect((await r.soon(bus.stats())).parked).toEqual([{ queue: 'photos.work', entry: 'photos.resize', count: 1 }]);
});

test('requests that wait, run, and have no reply are counted, without those of operators', async () => {
  const r = inspectedBuses();
  const [bus, web] = [await r.open('photos'), await r.open('web')];
  await bus.serve(photos, { add: never, resize: () => {}, rotate: () => {} }, { concurrency: { add: 1 } });
  for (const name of ['a', 'b', 'c']) web.request(photos.add, { name }).catch(() => undefined);
  await r.clock.advance(100);
  expect((await r.soon(bus.stats())).requests).toEqual([{ entry: 'photos.add', running: 1, limit: 1, waiting: 2 }]);
  expect(await r.soon(web.stats())).toEqual({
    queues: [],
    requests: [],
    pending: [{ entry: 'photos.add', count: 3 }],
    parked: [],
    spool: undefined,
  });
});

test('a log that does not respond delays the answer by two seconds at most', async () => {
  const clock = virtualClock();
  const stats = openStats({
    clock,
    ns: 't',
    log: { bounds: never, peek: never },
    queues: [{ name: 'photos.work', backlog: never }],
    answerer: {
      limits: () => [{ entry: 'photos.add', running: 1, concurrency: 2, perSecond: null }],
      active: () => [],
    },
    caller: { open: () => [] },
    spool: { waiting: never },
  });
  let read: BusStats | undefined;
  void stats().then((found) => (read = found));
  await clock.advance(1_900);
  expect(read).toBeUndefined();
  await clock.advance(100);
  const requests = [{ entry: 'photos.add', running: 1, limit: 2, waiting: 0 }];
  expect(read).toEqual({ queues: [], requests, pending: [], parked: [], spool: undefined });
});

test('a queue that fails to answer is missing, and the spool is reported', async () => {
  const clock = virtualClock();
  const fails = (): Promise<never> => Promise.reject(new Error('no answer'));
  const stats = openStats({
    clock,
    ns: 't',
    log: { bounds: fails, peek: fails },
    queues: [{ name: 'photos.work', backlog: fails }],
    answerer: { limits: () => [], active: () => [] },
    caller: { open: () => [] },
    spool: { waiting: async () => ({ bytes: 5, limitBytes: 10 }) },
  });
  expect(await stats()).toMatchObject({ queues: [], parked: [], spool: { bytes: 5, limitBytes: 10 } });
});
