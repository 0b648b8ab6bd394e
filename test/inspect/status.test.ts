import { defineModule, unchecked, work } from '../../src/contract/contract';
import type { Bus } from '../../src/bus/types';
import type { Alarm, QueueView } from '../../src/inspect/types';
import type { Log } from '../../src/ports/log';
import { all, photos, inspectedBuses, type Job } from '../support/inspected-buses';

const never = (): Promise<void> => new Promise(() => {});
const rest = { add: () => '', resize: () => {}, rotate: () => {} };

test('a system that has caught up has no alarms', async () => {
  const { open, inspector, soon, clock } = inspectedBuses();
  const bus = await open('photos');
  await bus.serve(photos, rest);
  await bus.submit(photos.resize, { n: 1, key: 'a' });
  await clock.advance(2_000);
  const status = await soon((await inspector()).status());
  expect(status).toMatchObject({ ns: 't', modules: 1, instances: 1, alarms: [], tookMs: 0 });
  expect(status.queues.map(({ state }) => state)).toEqual(['caught up', 'caught up']);
});

test('a lane whose first message hangs is stuck, with the number of messages behind it', async () => {
  const { open, inspector, soon, clock } = inspectedBuses();
  const bus = await open('photos');
  await bus.serve(photos, { ...rest, resize: ({ key }: Job) => (key === 'bad' ? never() : undefined) });
  const [first] = await bus.submitAll(
    photos.resize,
    [0, 1, 2].map((n) => ({ n, key: 'bad' })),
  );
  await clock.advance(29_000);
  expect((await soon((await inspector()).status())).alarms).toEqual([]);
  await clock.advance(11_000);
  const { alarms, queues } = await soon((await inspector()).status());
  expect(alarms).toMatchObject([
    {
      severity: 'critical',
      about: 'photos.work',
      what: 'stuck',
      message: 'lane bad on photos#1, attempt 1; 2 wait behind it',
      next: `busbar show ${first?.id}`,
    },
  ]);
  expect(queues.find(({ queue }) => queue === 'photos.work')?.state).toBe('stuck');
});

test('a queue whose handlers all hang is stuck, although its messages have no keys', async () => {
  const { open, inspector, soon, clock } = inspectedBuses();
  const bus = await open('photos');
  await bus.serve(photos, { ...rest, rotate: never }, { concurrency: 2 });
  await bus.submitAll(
    photos.rotate,
    [1, 2, 3, 4].map((n) => ({ n, key: '' })),
  );
  await clock.advance(40_000);
  const { alarms } = await soon((await inspector()).status());
  expect(alarms).toMatchObject([{ what: 'stuck', about: 'photos.slow', severity: 'critical' }]);
  expect(alarms[0]?.message).toMatch(
    /^2 wait, and photos#1 handled none for (?:3\d|40) s, 2 of 2 handlers busy; \w+ has been running on photos#1 for 40 s$/,
  );
});

describe('a queue of slow handlers', () => {
  /** Submits `perSecond` jobs in each of `seconds` seconds, and returns the alarms and the view after each of them. */
  async function submitFor(buses: ReturnType<typeof inspectedBuses>, bus: Bus, perSecond: number, seconds: number) {
    const look = await buses.inspector();
    const jobs = Array.from({ length: perSecond }, (_, n) => ({ n, key: '' }));
    const seen: { alarms: readonly Alarm[]; queue: QueueView | undefined }[] = [];
    for (let second = 0; second < seconds; second++) {
      if (perSecond > 0) void bus.submitAll(photos.rotate, jobs);
      await buses.clock.advance(1_000);
      const { alarms, queues } = await buses.soon(look.status());
      seen.push({ alarms, queue: queues.find(({ queue }) => queue === 'photos.slow') });
    }
    return seen;
  }
  async function openSlow(handlerMs: number, concurrency: number) {
    const buses = inspectedBuses();
    const bus = await buses.open('photos');
    const rotate = (): Promise<void> => new Promise((resolve) => void buses.clock.after(handlerMs, resolve));
    await bus.serve(photos, { ...rest, rotate }, { concurrency });
    return { buses, bus };
  }

  test('is growing with its cause, and the alarm does not alternate while it grows', async () => {
    const { buses, bus } = await openSlow(3_000, 4);
    const seen = await submitFor(buses, bus, 25, 90);
    const kinds = seen.map(({ alarms }) => alarms.map(({ what, severity }) => `${severity} ${what}`).join());
    expect([...new Set(kinds)]).toEqual(['', 'warning growing']);
    const from = kinds.indexOf('warning growing');
    expect(kinds.slice(from)).not.toContain('');
    expect(from).toBeGreaterThanOrEqual(9);
    expect(from).toBeLessThanOrEqual(20);
    const last = seen.at(-1);
    expect(last?.alarms).toMatchObject([{ about: 'photos.slow', next: 'busbar queues photos.slow --by key' }]);
    expect(last?.alarms[0]?.message).toMatch(/^\d+ wait: 4 of 4 handlers busy, p50 3 s, 25\/s in, 1\.[34]\/s out$/);
    expect(last?.queue).toMatchObject({ state: 'growing', running: 4, limit: 4, emptyInMs: null });
  });

  test('is no alarm while it handles a burst, with the time until it is empty', async () => {
    const { buses, bus } = await openSlow(400, 1);
    const [first] = await submitFor(buses, bus, 100, 1);
    expect(first?.queue?.state).toBe('working');
    const seen = await submitFor(buses, bus, 0, 20);
    for (const { alarms, queue } of seen) {
      expect(alarms).toEqual([]);
      expect(queue?.state).toBe('working');
    }
    const { waiting = 0, emptyInMs = 0, outPerSecond } = seen.at(-1)?.queue ?? {};
    expect(outPerSecond).toBeCloseTo(2.5, 1);
    expect(Math.abs((emptyInMs ?? 0) / 1_000 - waiting / 2.5)).toBeLessThan(5);
  });

  test('names failing attempts, and keys that are handled one at a time, as the cause', async () => {
    const buses = inspectedBuses();
    const bus = await buses.open('photos');
    const slow = (): Promise<void> => new Promise((resolve) => void buses.clock.after(2_000, resolve));
    await bus.serve(photos, { ...rest, resize: slow }, { concurrency: 4 });
    const jobs = Array.from({ length: 10 }, (_, n) => ({ n, key: 'one' }));
    for (let second = 0; second < 40; second++) {
      void bus.submitAll(photos.resize, jobs);
      await buses.clock.advance(1_000);
    }
    const { alarms } = await buses.soon((await buses.inspector()).status());
    expect(alarms[0]?.message).toMatch(
      /1 of 4 handlers busy because messages of one key are handled one at a time, p50 2 s/,
    );
  });
});

test('a lane of slow handlers is not stuck, and one whose message fails for long is', async () => {
  const { open, inspector, soon, clock } = inspectedBuses();
  const bus = await open('photos');
  const resize = ({ key }: Job): Promise<void> => {
    if (key === 'bad') throw new Error('no disk');
    return new Promise((resolve) => void clock.after(40_000, resolve));
  };
  await bus.serve(photos, { ...rest, resize });
  await bus.submitAll(
    photos.resize,
    [0, 1, 2, 3, 4].map((n) => ({ n, key: 'slow' })),
  );
  await clock.advance(75_000);
  const look = await inspector();
  expect((await soon(look.status())).alarms).toEqual([]);
  await bus.submitAll(
    photos.resize,
    [0, 1].map((n) => ({ n, key: 'bad' })),
  );
  await clock.advance(40_000);
  expect((await soon(look.status())).alarms).toMatchObject([
    { severity: 'critical', what: 'stuck', message: 'lane bad after attempt 1 on photos#1: no disk; 1 wait behind it' },
  ]);
});

test('alarms report unconsumed queues, silent instances and parked messages, worst first', async () => {
  const { open, inspector, soon, clock, world } = inspectedBuses();
  const bus = await open('photos');
  const served = await bus.serve(photos, { ...rest, resize: (_job, { park }) => park('no') });
  await bus.submit(photos.resize, { n: 1, key: 'a' });
  await clock.advance(1_000);
  await served.close();
  await bus.submit(photos.rotate, { n: 1, key: 'a' });
  await world.process('web#9').registry.announce({
    name: 'web#9',
    module: 'web',
    address: 'nowhere',
    incarnation: '0',
    host: 'h',
    pid: 1,
    sinceMs: 0,
    version: '',
    serves: { busbar: 'x' },
    leaving: false,
  });
  const { alarms, queues } = await soon((await inspector()).status());
  expect(alarms).toMatchObject([
    { severity: 'critical', what: 'no instance', about: 'photos.slow', next: 'busbar peek photos.slow' },
    { severity: 'critical', what: 'silent', about: 'web#9', next: 'busbar instances web' },
    {
      severity: 'warning',
      what: 'parked',
      about: 'photos.work',
      message: '1 message is parked: 1 of photos.resize: no',
      next: 'busbar parked photos.work',
    },
  ]);
  expect(queues.find(({ queue }) => queue === 'photos.slow')).toMatchObject({ state: 'no instance', waiting: 1 });
});

test('a degraded part of ready instances is one warning a reason, with the instance count', async () => {
  const { open, inspector, soon } = inspectedBuses();
  const reason = 'the brokers refuse commits of the usual size';
  for (const module of ['photos', 'photos', 'web']) {
    const bus = await open(module);
    bus.tell({ type: 'state', part: 'commit size', ok: false, ready: true, reason });
  }
  const { alarms } = await soon((await inspector()).status());
  expect(alarms).toMatchObject([
    {
      severity: 'warning',
      what: 'degraded',
      about: 'commit size',
      message: `photos#1 and 2 more: ${reason}`,
      next: 'busbar instances photos',
    },
  ]);
});

test('a queue whose instances are dead is unconsumed, although the log still names an owner', async () => {
  const { open, inspector, soon, ports } = inspectedBuses();
  const web = await open('web');
  await web.submit(photos.resize, { n: 1, key: 'a' });
  await (await open('photos')).serve(photos, { ...rest, resize: never });
  const { log } = ports('x');
  const places: Log['committedOffsets'] = async (...about) =>
    (await log.committedOffsets(...about)).map((place) => ({ ...place, owner: 'photos#9' }));
  const look = await inspector({
    log: { ...log, committedOffsets: places },
    registry: { ...ports('y').registry, all: async () => [] },
  });
  const { alarms, queues } = await soon(look.status());
  expect(queues.find(({ queue }) => queue === 'photos.work')).toMatchObject({ state: 'no instance', instances: 0 });
  expect(alarms).toMatchObject([
    { severity: 'critical', what: 'no instance', message: '1 wait, and no instance of photos handles them' },
  ]);
});

test('an entry that no instance knows is critical, and one that some know a warning', async () => {
  const { open, inspector, soon, clock } = inspectedBuses();
  const older = defineModule('photos', {
    resize: photos.resize,
    crop: work(unchecked<Job>(), { key: ({ key }) => key }),
  });
  const web = await open('web');
  const [lost] = await web.submitAll(older.crop, [{ n: 1, key: 'a' }]);
  const [behind] = await web.submitAll(photos.resize, [{ n: 2, key: 'a' }]);
  const bus = await open('photos');
  const slow = ({ key }: Job) =>
    key.startsWith('slow') ? new Promise<void>((resolve) => void clock.after(10_000, resolve)) : undefined;
  await bus.serve(photos, { ...rest, resize: slow }, { concurrency: 24 });
  await clock.advance(1_000);
  const look = await inspector();
  /** Two contracts of one module are an alarm of their own. */
  const isOther = ({ what }: Alarm): boolean => what !== 'drift';
  const { alarms, queues } = await soon(look.status());
  expect(alarms.filter(isOther)).toMatchObject([
    {
      severity: 'critical',
      about: 'photos.work',
      what: 'unserved',
      message: '1 of photos.crop waits, known to none of 1 instance',
      next: 'busbar peek photos.work --entry photos.crop',
    },
  ]);
  expect(queues.find(({ queue }) => queue === 'photos.work')).toMatchObject({ state: 'unserved', waiting: 2 });
  expect(bus.health()).toEqual({
    live: true,
    ready: true,
    reasons: [
      {
        part: 'queue photos.work',
        reason: 'this instance does not serve photos.crop: 1 message waits for an instance that does',
        sinceMs: 1_000,
      },
    ],
  });
  expect(await soon(all(look.peek('photos.work', { entry: 'photos.crop' })))).toMatchObject([{ unserved: true }]);
  const placesOf = async (id = ''): Promise<unknown> => (await soon(look.show(id)))[0]?.places;
  expect(await placesOf(lost?.id)).toMatchObject([{ state: 'waiting', unserved: true }]);
  expect(await placesOf(behind?.id)).toMatchObject([{ state: 'waiting', unserved: false }]);

  // Running handlers stop the partitions from moving to the second instance, which knows the entry.
  for (let n = 0; n < 24; n++) await web.submit(photos.resize, { n, key: `slow${n}` });
  const old = await open('photos');
  await old.serve(older, { resize: slow, crop: () => {} });
  await clock.advance(1_000);
  for (let n = 0; n < 24; n++) await web.submit(older.crop, { n, key: `k${n}` }); // some to each instance
  await clock.advance(1_000);
  expect((await soon(look.status())).alarms.filter(isOther)).toMatchObject([
    {
      severity: 'warning',
      what: 'unserved',
      message: expect.stringMatching(/^\d+ of photos.crop waits?, known to 1 of 2 instances$/),
    },
  ]);
  await clock.advance(20_000);
  expect((await soon(look.status())).alarms.filter(isOther)).toEqual([]);
  expect(await placesOf(lost?.id)).toMatchObject([{ state: 'settled' }]);
  expect(await placesOf(behind?.id)).toMatchObject([{ state: 'settled' }]);
});

test('a queue paused by a setting is paused, not stuck, with the resume command', async () => {
  const { open, inspector, soon, clock, ports } = inspectedBuses();
  const bus = await open('photos');
  await bus.serve(photos, rest);
  const search = await open('search');
  await search.listen(photos.added, { as: 'index' }, () => {});
  const { settings } = ports('operator');
  await settings.set('photos.resize.paused', 'true', 0);
  await settings.set('search.index.paused', 'true', 0);
  await bus.submit(photos.resize, { n: 1, key: 'a' });
  await bus.publish(photos.added, { n: 1, key: 'a' });
  await clock.advance(3_600_000);
  const { alarms, queues } = await soon((await inspector()).status());
  expect(queues.map(({ queue, state, paused }) => [queue, state, paused])).toEqual([
    ['photos.slow', 'caught up', []],
    ['photos.work', 'paused', ['photos.resize']],
    ['search.index', 'paused', ['search.index']],
  ]);
  expect(alarms.map(({ what, severity, next }) => `${severity} ${what}: ${next}`).toSorted()).toEqual([
    'warning paused: busbar resume photos.resize',
    'warning paused: busbar resume search.index',
  ]);
});

describe('a queue whose log is blocked by an open transaction', () => {
  /** A log whose transaction was started `ageMs` ago, with `count` records of photos.work behind it. */
  async function blocked(count: number, ageMs: number | null, ids: readonly (string | null)[] = ['billing-7']) {
    const { open, inspector, soon, clock, ports } = inspectedBuses();
    const bus = await open('photos');
    await bus.serve(photos, rest);
    const { log } = ports('console');
    const isWork = (topic: string): boolean => topic === 't.photos.work';
    const look = await inspector({
      log: {
        ...log,
        bounds: async (topic) =>
          (await log.bounds(topic)).map((one) =>
            isWork(topic) && one.partition === 3 && count > 0 ? { ...one, high: one.end + count } : one,
          ),
        openTransactions: (topic, partitions) =>
          Promise.resolve(
            isWork(topic) && partitions.includes(3)
              ? ids.map((id, n) => ({
                  partition: 3,
                  offset: 57 + n,
                  id,
                  producerId: 1_002,
                  epoch: 0,
                  sinceMs: ageMs === null ? null : clock.now() - ageMs,
                  timeoutMs: 60_000,
                  abort: 'kafka-transactions.sh … abort …',
                }))
              : [],
          ),
      },
    });
    const { alarms } = await soon(look.status());
    const [work] = await soon(look.queues(['photos.work']));
    return { alarms, work };
  }

  test('counts the messages behind it as an approximate maximum', async () => {
    const { work } = await blocked(6, 45_000);
    expect(work).toMatchObject({ state: 'blocked', waiting: 6, blocked: 6, exact: false, about: true });
    expect((await blocked(0, null)).work).toMatchObject({ state: 'caught up', waiting: 0, blocked: 0, exact: true });
  });

  test.each([
    [5_000, []],
    [15_000, [{ severity: 'warning', forMs: 15_000 }]],
    [45_000, [{ severity: 'critical', forMs: 45_000 }]],
    [null, [{ severity: 'critical', forMs: null }]],
  ])('raises the expected alarm after %s ms, with the command to abort it', async (ageMs, expected) => {
    const { alarms } = await blocked(6, ageMs);
    const more = {
      what: 'blocked',
      about: 'photos.work',
      next: 'kafka-transactions.sh … abort …',
      message:
        "6 cannot be read: the transaction 'billing-7' (producer id 1002) is open in t.photos.work/3 from offset 57 on",
    };
    expect(alarms).toMatchObject(expected.map((one) => ({ ...more, ...one })));
  });

  test('names the transaction by its producer id when its transactional id is unknown', async () => {
    const { alarms } = await blocked(6, null, [null, 'other']);
    expect(alarms[0]?.message).toContain('the transaction of producer id 1002 is open');
    expect(alarms[0]?.message).toMatch(/, and 1 more$/);
  });
});

test('messages that cannot be sent from a spool are an alarm that names the machine, the reason and the next verb', async () => {
  const { open, inspector, soon, clock } = inspectedBuses();
  const [one, two] = [await open('photos'), await open('photos')];
  const reason = '2 of 4 partitions of t.photos.work wait: no broker is reachable';
  for (const bus of [one, two]) bus.tell({ type: 'state', part: 'spool', ok: false, reason, ready: true });
  await clock.advance(3_000);
  const { alarms } = await soon((await inspector()).status());
  expect(alarms).toMatchObject([
    {
      severity: 'warning',
      about: 'spool',
      what: 'degraded',
      forMs: 3_000,
      message: `photos#1 on host and 1 more: ${reason}`,
      next: 'busbar spool',
    },
  ]);
});

test('a full spool is an alarm about the instance, which is not ready', async () => {
  const { open, inspector, soon } = inspectedBuses();
  const bus = await open('photos');
  const reason =
    'the spool has no room for t.photos.work: 1 GB wait for the brokers, the limit of spoolBytesMax is 1 GB';
  bus.tell({ type: 'state', part: 'spool', ok: false, reason });
  const { alarms } = await soon((await inspector()).status());
  expect(alarms).toMatchObject([
    {
      severity: 'warning',
      about: 'photos#1',
      what: 'unwell',
      message: `on host: spool: ${reason}`,
      next: 'busbar spool',
    },
  ]);
});
