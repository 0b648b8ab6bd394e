/** Settings that an operator changes while a bus is open: they take effect immediately, and revert when removed. */
import { z } from 'zod';
import { buildBus } from '../../src/bus/bus';
import type { BusLive } from '../../src/bus/live';
import { broadcast, defineModule, event, request, work, type Notice } from '../../src/index';
import { memoryWorld, virtualClock } from '../../src/memory';
import { testBus } from '../../src/testing';
import { memoryBusParts } from '../../src/testing/parts';
import { heavy } from '../heavy';

const Job = z.object({ n: z.number(), key: z.string().optional() });
const photos = defineModule('photos', {
  add: request(z.object({ n: z.number() }), z.number(), { timeoutMs: 3_000 }),
  find: request(z.object({ n: z.number() }), z.number()),
  resize: work(Job, { key: (job) => job.key ?? `k${job.n}`, attempts: 3, backoffMs: 1_000 }),
  clean: work(Job, { key: (job) => job.key ?? `k${job.n}` }),
  drop: broadcast(z.object({ n: z.number() })),
  added: event(z.object({ n: z.number() }), { key: (photo) => `k${photo.n}` }),
});

/** A handler that counts its running calls, and ends them when the test calls `leave`. */
function room() {
  const inside: (() => void)[] = [];
  let ended = 0;
  return {
    enter: async (): Promise<void> => {
      const out = new Promise<void>((resolve) => inside.push(resolve));
      await out;
      ended++;
    },
    leave(many = Infinity): void {
      for (const go of inside.splice(0, many)) go();
    },
    get now() {
      return inside.length;
    },
    get ended() {
      return ended;
    },
  };
}

function open(handlers: Partial<Parameters<typeof serve>[1]> = {}, options: Parameters<typeof serve>[2] = {}) {
  const bus = testBus(photos);
  const told: Notice[] = [];
  bus.watch((notice) => told.push(notice));
  const settings = (): Notice[] => told.filter(({ type }) => type === 'setting');
  return { bus, settings, serving: serve(bus, handlers, options) };
}
function serve(
  bus: ReturnType<typeof testBus>,
  handlers: {
    add?: (body: { n: number }) => number | Promise<number>;
    find?: (body: { n: number }) => number | Promise<number>;
    resize?: (body: { n: number }) => void | Promise<void>;
    clean?: (body: { n: number }) => void | Promise<void>;
    drop?: (body: { n: number }) => void;
  },
  options: { concurrency?: Record<string, number>; perSecond?: Record<string, number> } = {},
) {
  const all = { add: () => 0, find: () => 0, resize: () => {}, clean: () => {}, drop: () => {}, ...handlers };
  return bus.serve(photos, all, options);
}
const jobs = (count: number, from = 0) => Array.from({ length: count }, (_, i) => ({ n: from + i }));

describe('work', () => {
  test('its concurrency follows a setting, and reverts to that of serve', async () => {
    const hall = room();
    const { bus, serving } = open({ resize: hall.enter }, { concurrency: { resize: 2 } });
    await serving;
    await bus.submitAll(photos.resize, jobs(40));
    await bus.clock.advance(10);
    expect(hall.now).toBe(2);
    await bus.set('photos.resize.concurrency', 7);
    expect(hall.now).toBe(7);
    await bus.set('photos.resize.concurrency', 1);
    hall.leave(6);
    await bus.clock.advance(10);
    expect(hall.now).toBe(1); // no job started while more than one ran
    await bus.set('photos.resize.concurrency', null);
    expect(hall.now).toBe(2);
  });

  test('workConcurrency applies when serve has none, also as a setting', async () => {
    const hall = room();
    const { bus, serving } = open({ resize: hall.enter });
    await serving;
    await bus.submitAll(photos.resize, jobs(40));
    await bus.clock.advance(10);
    expect(hall.now).toBe(8);
    await bus.set('workConcurrency', 12);
    expect(hall.now).toBe(12);
  });

  test('its rate can be limited, changed and unlimited', async () => {
    let handled = 0;
    const { bus, serving } = open({ resize: () => void handled++ });
    await serving;
    await bus.set('photos.resize.perSecond', 10);
    await bus.submitAll(photos.resize, jobs(400));
    await bus.clock.advance(2_000);
    expect(handled).toBeGreaterThanOrEqual(19);
    expect(handled).toBeLessThanOrEqual(21);
    await bus.set('photos.resize.perSecond', 100);
    const before = handled;
    await bus.clock.advance(1_000);
    expect(handled - before).toBeGreaterThanOrEqual(95);
    expect(handled - before).toBeLessThanOrEqual(105);
    await bus.set('photos.resize.perSecond', null);
    await bus.settled();
    expect(handled).toBe(400);
  });

  test('a paused entry starts nothing and loses nothing, and other entries continue', async () => {
    const done: string[] = [];
    const { bus, serving } = open({
      resize: ({ n }) => void done.push(`resize ${n}`),
      clean: ({ n }) => void done.push(`clean ${n}`),
    });
    await serving;
    await bus.set('photos.resize.paused', true);
    await bus.submitAll(photos.resize, jobs(20));
    await bus.submitAll(photos.clean, jobs(3, 20));
    await bus.clock.advance(3_600_000);
    expect(done.toSorted()).toEqual(['clean 20', 'clean 21', 'clean 22']);
    await bus.set('photos.resize.paused', null);
    expect(done).toHaveLength(23);
    expect(bus.parked(photos.resize)).toEqual([]);
  });

  test('pausing lets running handlers finish', async () => {
    const hall = room();
    const { bus, serving } = open({ resize: hall.enter }, { concurrency: { resize: 2 } });
    await serving;
    await bus.submitAll(photos.resize, jobs(5));
    await bus.clock.advance(10);
    await bus.set('photos.resize.paused', 'true');
    hall.leave();
    await bus.settled(); // paused work does not count as busy
    expect([hall.ended, hall.now]).toEqual([2, 0]);
    await bus.set('photos.resize.paused', 'false');
    expect(hall.now).toBe(2);
  });

  test('an entry paused before its instance starts is paused there too', async () => {
    let handled = 0;
    const { bus } = open();
    await bus.set('thumbs.make.paused', true, { unchecked: true });
    const thumbs = defineModule('thumbs', { make: work(Job) });
    const late = bus.as(thumbs);
    await late.serve(thumbs, { make: () => void handled++ });
    await late.submitAll(thumbs.make, jobs(5));
    await late.clock.advance(10_000);
    expect(handled).toBe(0);
    await bus.set('thumbs.make.paused', null);
    expect(handled).toBe(5);
  });

  heavy('other entries run behind more paused messages than the read-ahead holds', async () => {
    const cleaned: number[] = [];
    const { bus, serving } = open({ clean: ({ n }) => void cleaned.push(n) });
    await serving;
    await bus.set('photos.resize.paused', true);
    await bus.submitAll(
      photos.resize,
      jobs(3_000).map(({ n }) => ({ n, key: 'one partition' })),
    );
    await bus.submit(photos.clean, { n: 7, key: 'one partition' });
    await bus.clock.advance(1_000);
    expect(cleaned).toEqual([]); // of the same key, so it waits for the messages before it
    await bus.submitAll(photos.clean, jobs(100));
    await bus.clock.advance(60_000);
    expect(cleaned).toHaveLength(100);
  });

  test('a lower attempts setting applies from the next failure on', async () => {
    const attempts: number[] = [];
    const { bus, serving } = open({
      resize({ n }) {
        attempts.push(n);
        throw new Error('no disk');
      },
    });
    await serving;
    await bus.submit(photos.resize, { n: 1 });
    await bus.settled();
    await bus.set('photos.resize.attempts', 2);
    await bus.clock.advance(60_000);
    expect(attempts).toHaveLength(2);
    expect(bus.parked(photos.resize)).toMatchObject([{ attempts: 2, reason: 'attempt 2 of 2 failed: no disk' }]);
  });

  test('a message beyond the new attempts runs a last time and keeps its own error', async () => {
    const { bus, serving } = open({
      resize() {
        throw new Error('no disk');
      },
    });
    await serving;
    await bus.submit(photos.resize, { n: 1 });
    await bus.settled();
    await bus.set('photos.resize.attempts', 1);
    await bus.clock.advance(60_000);
    expect(bus.parked(photos.resize)).toMatchObject([{ attempts: 2, reason: 'attempt 2 of 1 failed: no disk' }]);
  });

  test('a higher attempts setting applies until it is removed', async () => {
    let tries = 0;
    const { bus, serving } = open({
      resize() {
        tries++;
        throw new Error('no disk');
      },
    });
    await serving;
    await bus.set('photos.resize.attempts', 6);
    await bus.submit(photos.resize, { n: 1 });
    await bus.clock.advance(600_000);
    expect([tries, bus.parked(photos.resize).length]).toEqual([6, 1]);
    await bus.set('photos.resize.attempts', null);
    await bus.submit(photos.resize, { n: 2 });
    await bus.clock.advance(600_000);
    expect([tries, bus.parked(photos.resize).length]).toEqual([9, 2]);
  });

  test('a backoffMs setting applies from the next failure on', async () => {
    const at: number[] = [];
    const { bus, serving } = open({
      resize() {
        at.push(bus.clock.now());
        throw new Error('no disk');
      },
    });
    await serving;
    await bus.set('photos.resize.backoffMs', 0);
    await bus.submit(photos.resize, { n: 1 });
    await bus.clock.advance(100);
    expect(at).toHaveLength(3); // all attempts at once
  });
});

describe('requests', () => {
  test('their concurrency follows a setting immediately, also for waiting ones', async () => {
    const hall = room();
    const add = async () => {
      await hall.enter();
      return 1;
    };
    const { bus, serving } = open({ add }, { concurrency: { add: 2 } });
    await serving;
    const asked = jobs(10).map((job) => bus.request(photos.add, job));
    await bus.clock.advance(0);
    expect(hall.now).toBe(2);
    await bus.set('photos.add.concurrency', 6);
    expect(hall.now).toBe(6);
    await bus.set('photos.add.concurrency', null);
    hall.leave(5);
    await bus.clock.advance(0);
    expect(hall.now).toBe(2);
    hall.leave();
    await bus.set('requestConcurrency', 50); // serve has set 2
    expect(hall.now).toBe(2);
    hall.leave();
    await bus.clock.advance(0);
    hall.leave();
    expect(await Promise.all(asked)).toHaveLength(10);
  });

  test('requestConcurrency applies when serve has none', async () => {
    const hall = room();
    const find = async () => {
      await hall.enter();
      return 1;
    };
    const { bus, serving } = open({ find });
    await serving;
    await bus.set('requestConcurrency', 3);
    const asked = jobs(5).map((job) => bus.request(photos.find, job));
    await bus.clock.advance(0);
    expect(hall.now).toBe(3);
    await bus.set('requestConcurrency', null);
    expect(hall.now).toBe(5);
    hall.leave();
    await Promise.all(asked);
  });

  test('a raised rate does not wait for the timer of the previous rate', async () => {
    let started = 0;
    const { bus, serving } = open({ add: () => ++started });
    await serving;
    await bus.set('photos.add.perSecond', 1);
    const asked = Promise.all(jobs(20).map((job) => bus.request(photos.add, job, { timeoutMs: 60_000 })));
    await bus.clock.advance(0);
    expect(started).toBeLessThanOrEqual(1);
    await bus.set('photos.add.perSecond', 20);
    await bus.clock.advance(500);
    expect(started).toBeGreaterThanOrEqual(8); // in whole milliseconds, one each 51 ms
    expect(started).toBeLessThanOrEqual(12);
    await bus.set('photos.add.perSecond', null);
    expect(started).toBe(20);
    await asked;
  });

  test('a request to a paused entry waits, and is answered when resumed in time', async () => {
    const { bus, serving } = open({ add: ({ n }) => n });
    await serving;
    const web = bus.as('web');
    await bus.set('photos.add.paused', true);
    const late = web.tryRequest(photos.add, { n: 1 });
    await bus.clock.advance(3_000);
    expect(await late).toMatchObject({ ok: false, error: { code: 'Timeout', details: { reached: 'waiting' } } });
    const asked = web.request(photos.add, { n: 2 });
    await bus.clock.advance(2_000);
    await bus.set('photos.add.paused', null);
    expect(await asked).toBe(2);
  });

  test('a request that timed out while paused is not started later', async () => {
    const started: number[] = [];
    const { bus, serving } = open({ add: ({ n }) => started.push(n) });
    await serving;
    await bus.set('photos.add.paused', true);
    const late = bus.as('web').tryRequest(photos.add, { n: 1 });
    await bus.clock.advance(5_000);
    await late;
    await bus.set('photos.add.paused', null);
    await bus.settled();
    expect(started).toEqual([]);
  });

  test('a timeout setting of an entry overrides its contract, but not the call', async () => {
    const { bus, serving } = open({ add: () => new Promise<number>(() => {}) });
    await serving;
    const web = bus.as('web');
    const timeoutOf = async (options = {}): Promise<unknown> => {
      const asked = web.tryRequest(photos.add, { n: 1 }, options);
      await bus.clock.advance(60_000);
      return asked;
    };
    const after = (timeoutMs: number) => ({ error: { code: 'Timeout', details: { timeoutMs } } });
    expect(await timeoutOf()).toMatchObject(after(3_000));
    await bus.set('photos.add.timeoutMs', '500ms');
    expect(await timeoutOf()).toMatchObject(after(500));
    expect(await timeoutOf({ timeoutMs: 900 })).toMatchObject(after(900));
    await bus.set('photos.add.timeoutMs', null);
    expect(await timeoutOf()).toMatchObject(after(3_000));
  });

  test('the timeoutMs setting applies to entries without a timeout of their own', async () => {
    const never = () => new Promise<number>(() => {});
    const { bus, serving } = open({ find: never, add: never });
    await serving;
    await bus.set('timeoutMs', '2s');
    const [found, added] = [bus.tryRequest(photos.find, { n: 1 }), bus.tryRequest(photos.add, { n: 1 })];
    await bus.clock.advance(10_000);
    expect(await found).toMatchObject({ error: { details: { timeoutMs: 2_000 } } });
    expect(await added).toMatchObject({ error: { details: { timeoutMs: 3_000 } } });
  });
});

describe('a named listener', () => {
  test('is paused and retried by the settings of its own name', async () => {
    const { bus } = open();
    const heard: number[] = [];
    const search = bus.as('search');
    await search.listen(photos.added, { as: 'index', attempts: 4, backoffMs: 0 }, ({ n }) => {
      heard.push(n);
      throw new Error('no index');
    });
    await bus.set('search.index.paused', true);
    await bus.publish(photos.added, { n: 1 });
    await bus.clock.advance(60_000);
    expect(heard).toEqual([]);
    await bus.set('search.index.attempts', 2);
    await bus.set('search.index.paused', null);
    await bus.clock.advance(60_000);
    expect(heard).toEqual([1, 1]);
    await bus.set('search.index.attempts', null);
    await bus.publish(photos.added, { n: 2 });
    await bus.clock.advance(60_000);
    expect(heard.filter((n) => n === 2)).toHaveLength(4);
  });

  test('has the concurrency of its setting, or otherwise of listen', async () => {
    const { bus } = open();
    const hall = room();
    await bus.as('search').listen(photos.added, { as: 'index', concurrency: 3 }, hall.enter);
    await bus.set('search.index.concurrency', 5);
    await bus.publishAll(photos.added, jobs(20));
    await bus.clock.advance(10);
    expect(hall.now).toBe(5);
    await bus.set('search.index.concurrency', null);
    hall.leave();
    await bus.clock.advance(10);
    expect(hall.now).toBe(3);
  });
});

describe('a setting', () => {
  test('with an invalid value has no effect, is reported, and stays in health until corrected', async () => {
    const hall = room();
    const { bus, serving, settings } = open({ resize: hall.enter });
    await serving;
    await bus.set('photos.resize.concurrency', 3);
    await bus.set('photos.resize.concurrency', 0, { unchecked: true });
    const key = 'photos.resize.concurrency';
    expect(settings()).toEqual([
      { type: 'setting', key, change: 'applied', value: '3' },
      { type: 'setting', key, change: 'refused', reason: '"0" is below the minimum of 1' },
    ]);
    await bus.submitAll(photos.resize, jobs(10));
    await bus.clock.advance(1_000);
    expect(hall.now).toBe(3);
    expect(bus.health()).toEqual({
      live: true,
      ready: true,
      reasons: [{ part: `setting ${key}`, reason: '"0" is below the minimum of 1', sinceMs: 1_000 }],
    });
    await bus.set(key, 4);
    expect(hall.now).toBe(4);
    expect(bus.health().reasons).toEqual([]);
  });

  test('reaches every open instance and no closed one', async () => {
    const { bus, serving, settings } = open();
    await serving;
    const other = bus.as(photos);
    await other.close();
    const seen = settings().length;
    await bus.close();
    await bus.as('web').set('timeoutMs', 1);
    expect(settings()).toHaveLength(seen);
  });

  test('for an unserved entry takes effect when the entry is served again', async () => {
    const hall = room();
    const { bus, serving } = open({ resize: hall.enter });
    await (await serving).close();
    await bus.set('photos.resize.concurrency', 2);
    await serve(bus, { resize: hall.enter });
    await bus.submitAll(photos.resize, jobs(10));
    await bus.clock.advance(10);
    expect(hall.now).toBe(2);
  });
});

describe('on slow ports', () => {
  const queued = defineModule('queued', { add: request(z.number(), z.number()), make: work(Job) });

  /** A bus whose calls take 20 ms in total, and an operator that writes settings. */
  function slowly() {
    const clock = virtualClock();
    const world = memoryWorld({ clock, delays: { minMs: 10, maxMs: 10 } });
    const parts = memoryBusParts(world.process('queued#1'));
    const { live } = parts;
    let watching = 0;
    const counted: BusLive = {
      get bus() {
        return live.bus;
      },
      get refused() {
        return live.refused;
      },
      entry: (entry) => live.entry(entry),
      take: (all) => live.take(all),
      watch(see) {
        watching++;
        const stop = live.watch(see);
        return () => {
          watching--;
          stop();
        };
      },
    };
    const { bus, opened } = buildBus({ ...parts, live: counted });
    return { clock, bus, opened, operator: world.process('operator').settings, watching: () => watching };
  }

  heavy('a setting that changes while an instance joins its queue is applied', async () => {
    for (let atMs = 0; atMs <= 200; atMs += 10) {
      const { clock, bus, opened, operator } = slowly();
      await clock.advance(200);
      await opened;
      let handled = 0;
      const serving = bus.serve(queued, { add: () => 0, make: () => void handled++ });
      await clock.advance(atMs);
      const written = operator.set('queued.make.paused', 'true', 0);
      await clock.advance(1_000);
      await Promise.all([serving, written]);
      const sent = bus.submit(queued.make, { n: 1 });
      await clock.advance(1_000);
      await sent;
      expect([atMs, handled]).toEqual([atMs, 0]);
    }
  });

  test('closing a served contract removes its setting watchers', async () => {
    const { clock, bus, opened, watching } = slowly();
    await clock.advance(200);
    await opened;
    const before = watching();
    const serving = bus.serve(queued, { add: () => 0, make: () => {} });
    await clock.advance(1_000);
    expect(watching()).toBe(before + 2);
    const closing = (await serving).close();
    await clock.advance(5_000);
    await closing;
    expect(watching()).toBe(before);
  });
});
