import type { Handlers } from '../../src/delivery/handler';
import { StoppedEarly, UnknownName } from '../../src/inspect/types';
import type { Log } from '../../src/ports/log';
import { heavy } from '../heavy';
import { all, photos, inspectedBuses, type Job } from '../support/inspected-buses';

const handlers = (more: Partial<Handlers<typeof photos>> = {}): Handlers<typeof photos> => ({
  add: ({ name }) => name,
  resize: () => {},
  rotate: () => {},
  ...more,
});
const never = (): Promise<void> => new Promise(() => {});
const jobs = (count: number, key = (n: number): string => `k${n}`): Job[] =>
  Array.from({ length: count }, (_, n) => ({ n, key: key(n) }));

describe('queues', () => {
  test('counts all messages of a queue that no instance has ever consumed', async () => {
    const { open, inspector, soon, clock } = inspectedBuses();
    const web = await open('web');
    await web.submitAll(photos.resize, jobs(30));
    await clock.advance(4_000);
    const look = await inspector();
    expect(await soon(look.queues())).toMatchObject([
      {
        queue: 'photos.work',
        state: 'no instance',
        waiting: 30,
        exact: true,
        running: 0,
        instances: 0,
        oldestMs: 4_000,
      },
    ]);
  });

  test('counts all messages as waiting when the committed offset is beyond the log', async () => {
    const { open, inspector, soon, clock, ports } = inspectedBuses();
    await (await open('web')).submitAll(photos.resize, jobs(30));
    const member = await ports('tool').log.join('t.photos.work', 't.photos.work', {
      onAssigned: (owned) => void owned.commit({ offset: 1_000, state: new Uint8Array() }),
      onRevoked: () => Promise.resolve(),
    });
    await clock.advance(100);
    await soon(member.close());
    const look = await inspector();
    expect(await soon(look.queues())).toMatchObject([
      { queue: 'photos.work', state: 'no instance', waiting: 30, exact: false },
    ]);
    expect((await soon(look.status())).alarms).toMatchObject([{ severity: 'critical', what: 'no instance' }]);
  });

  test('does not count messages that are settled above a hanging one', async () => {
    const { open, inspector, soon, clock } = inspectedBuses();
    const bus = await open('photos');
    await bus.serve(photos, handlers({ resize: ({ n }) => (n === 0 ? never() : undefined) }), { concurrency: 4 });
    await bus.submitAll(photos.resize, jobs(50));
    await clock.advance(2_000);
    const look = await inspector();
    const places = await look.parts.log.committedOffsets('t.photos.work', 't.photos.work');
    const bounds = await look.parts.log.bounds('t.photos.work');
    const above = bounds.reduce((sum, { partition, end }) => sum + end - (places[partition]?.offset ?? 0), 0);
    expect(above).toBeGreaterThan(1); // settled messages are above the watermark of its partition
    const [work] = await soon(look.queues(['photos.work']));
    expect(work).toMatchObject({ waiting: 0, running: 1, state: 'caught up', instances: 1 });
  });

  /** A log with offset gaps as transactions leave them: after each record is an offset without one. */
  function gappy(log: Log): Log {
    return {
      ...log,
      gapless: false,
      bounds: async (topic) => (await log.bounds(topic)).map((one) => ({ ...one, end: one.end * 2 })),
      async peek(topic, { partition, offset }, max) {
        const found = await log.peek(topic, { partition, offset: Math.ceil(offset / 2) }, max);
        return found.map((record) => ({ ...record, offset: record.offset * 2 }));
      },
    };
  }

  heavy('counts messages between offset gaps exactly, and approximately when there are too many', async () => {
    const { open, inspector, soon, ports } = inspectedBuses();
    const web = await open('web');
    await web.submitAll(photos.resize, jobs(500));
    const look = await inspector({ log: gappy(ports('console').log) });
    expect(await soon(look.queues())).toMatchObject([{ waiting: 500, exact: true, about: false }]);
    const large = 'x'.repeat(200_000);
    for (let n = 0; n < 100; n++) await web.submit(photos.rotate, { n, key: large });
    const [slow] = await soon(look.queues(['photos.slow']));
    expect(slow).toMatchObject({ exact: false, about: true });
    expect(slow?.waiting).toBeGreaterThan(100);
    expect(slow?.waiting).toBeLessThanOrEqual(200);
  });

  test('counts only the events of a listener, although the topic has others', async () => {
    const { open, inspector, soon, clock } = inspectedBuses();
    const search = await open('search');
    const listening = await search.listen(photos.added, { as: 'index' }, () => {});
    await clock.advance(1_000);
    await listening.close();
    const bus = await open('photos');
    await bus.publishAll(photos.added, jobs(7));
    await bus.publishAll(photos.removed, jobs(100));
    const look = await inspector();
    expect(await soon(look.queues(['search.index']))).toMatchObject([
      {
        queue: 'search.index',
        module: 'search',
        listensTo: ['photos.added'],
        waiting: 7,
        exact: true,
        state: 'no instance',
      },
    ]);
  });

  test('stops counting events at the scan limit, and marks the count as inexact', async () => {
    const { open, inspector, soon, clock } = inspectedBuses();
    const search = await open('search');
    await (await search.listen(photos.added, { as: 'index' }, () => {})).close();
    const bus = await open('photos');
    await bus.publishAll(photos.added, jobs(40));
    await clock.advance(1_000);
    const look = await inspector({ scanMax: 20 });
    const [index] = await soon(look.queues(['search.index']));
    expect(index?.exact).toBe(false);
    expect(index?.waiting).toBeLessThanOrEqual(20);
  });

  test('lists the named queue of an entry separately', async () => {
    const { open, inspector, soon } = inspectedBuses();
    const bus = await open('photos');
    await bus.serve(photos, handlers());
    const look = await inspector();
    expect((await soon(look.queues(['photos']))).map(({ queue }) => queue)).toEqual(['photos.slow', 'photos.work']);
  });

  test('rejects a misspelt queue with the nearest name', async () => {
    const { open, inspector, soon } = inspectedBuses();
    await (await open('photos')).serve(photos, handlers());
    const look = await inspector();
    const asked = soon(look.queues(['photo.wrk']));
    await expect(asked).rejects.toBeInstanceOf(UnknownName);
    await expect(asked).rejects.toThrow('there is no queue photo.wrk; the nearest is photos.work');
  });
});

describe('inspecting', () => {
  test('joins no group, commits nothing and creates no topic', async () => {
    const { open, inspector, soon, clock } = inspectedBuses();
    const web = await open('web');
    await web.submitAll(photos.resize, jobs(5));
    const look = await inspector();
    const before = JSON.stringify([await look.parts.log.topics(), await look.parts.log.groups()]);
    const ends = new AbortController();
    const tailing = all(look.tail([], { signal: ends.signal }));
    await soon(look.status());
    await soon(look.queues());
    await soon(look.instances());
    await soon(all(look.peek('photos.work')));
    await soon(all(look.parked()));
    await soon(look.show('0'));
    ends.abort();
    await clock.advance(2_000);
    await tailing;
    expect(JSON.stringify([await look.parts.log.topics(), await look.parts.log.groups()])).toBe(before);
    expect(await look.parts.log.committedOffsets('t.photos.work', 't.photos.work')).toEqual([]);
  });
});

describe('peek', () => {
  test('shows running messages, those in backoff, and those behind them, in order', async () => {
    const { open, inspector, soon, clock } = inspectedBuses();
    const bus = await open('photos');
    const resize = async ({ n }: Job): Promise<void> => {
      if (n === 1) throw new Error('no store');
      await never();
    };
    await bus.serve(photos, handlers({ resize }));
    const sent = await bus.submitAll(photos.resize, [
      { n: 0, key: 'a' },
      { n: 1, key: 'b' },
      { n: 2, key: 'a' },
      { n: 3, key: 'b' },
    ]);
    await clock.advance(600); // shorter than the backoff with this seed, longer than a commit takes
    const look = await inspector();
    const found = await soon(all(look.peek('photos.work')));
    const byNumber = sent.map(({ id }) => found.find((one) => one.id === id));
    expect(byNumber).toMatchObject([
      { state: 'running', on: 'photos#1', attempts: 0, key: 'a', behind: null },
      { state: 'in backoff', on: null, attempts: 1, key: 'b', behind: null },
      { state: 'waiting', key: 'a', behind: sent[0]?.id },
      { state: 'waiting', key: 'b', behind: sent[1]?.id, body: { ok: true, value: { n: 3, key: 'b' } } },
    ]);
  });

  test('returns the requested number of messages in time order across partitions', async () => {
    const { open, inspector, soon, clock } = inspectedBuses();
    const web = await open('web');
    for (const job of jobs(20)) {
      await web.submit(photos.resize, job);
      await clock.advance(1);
    }
    const look = await inspector();
    const found = await soon(all(look.peek('photos.work'), 12));
    expect(found.map(({ body }) => (body.ok ? (body.value as Job).n : -1))).toEqual(jobs(12).map(({ n }) => n));
  });

  test('accepts an entry name, also when no instance is running', async () => {
    const { open, inspector, soon } = inspectedBuses();
    const web = await open('web');
    await web.submit(photos.resize, { n: 1, key: 'a' });
    const look = await inspector();
    expect(await soon(all(look.peek('photos.resize')))).toHaveLength(1);
    await expect(soon(all(look.peek('photos.rseize')))).rejects.toThrow('photos.work');
  });

  test('rejects an entry without a queue, and names its kind', async () => {
    const { open, inspector, soon } = inspectedBuses();
    await (await open('photos')).serve(photos, handlers());
    const look = await inspector();
    await expect(soon(all(look.peek('photos.add')))).rejects.toThrow('of the kind request, which waits in no queue');
    await expect(soon(all(look.peek('photos.added')))).rejects.toThrow('of the kind event');
  });

  test('filters by key, entry, sender and time', async () => {
    const { open, inspector, soon, clock } = inspectedBuses();
    const web = await open('web');
    const shop = await open('shop');
    await web.submitAll(photos.resize, jobs(3));
    await clock.advance(10_000);
    const sinceMs = clock.now();
    await shop.submit(photos.resize, { n: 9, key: 'k1' });
    const look = await inspector();
    const count = async (filter: object): Promise<number> => (await soon(all(look.peek('photos.work', filter)))).length;
    expect(await count({ key: 'k1' })).toBe(2);
    expect(await count({ from: 'web' })).toBe(3);
    expect(await count({ from: 'shop#1' })).toBe(1);
    expect(await count({ from: 'sho' })).toBe(0);
    expect(await count({ entry: 'resize', sinceMs })).toBe(1);
    expect(await count({ entry: 'rotate' })).toBe(0);
  });

  test('shows a record without a readable envelope by its topic, partition and offset', async () => {
    const { open, inspector, soon } = inspectedBuses();
    const web = await open('web');
    await web.submit(photos.rotate, { n: 1, key: 'a' });
    const look = await inspector();
    const foreign = { partition: 3, key: Uint8Array.of(0xff), value: Uint8Array.of(0xc1), headers: {} };
    await look.parts.log.append('t.photos.work.slow', [foreign]);
    const found = await soon(all(look.peek('photos.slow')));
    expect(found.find(({ partition, key }) => partition === 3 && key === '0xff')).toMatchObject({
      id: 't.photos.work.slow/3/0',
      entry: '',
      fault: 'envelope: there is none',
      body: { ok: false },
    });
  });

  test('rejects with StoppedEarly at its scan limit', async () => {
    const { open, inspector, soon } = inspectedBuses();
    await (
      await open('web')
    ).submitAll(
      photos.resize,
      jobs(600, () => 'one'),
    );
    const look = await inspector({ scanMax: 100 });
    await expect(soon(all(look.peek('photos.work', { key: 'none' })))).rejects.toBeInstanceOf(StoppedEarly);
  });
});

describe('parked', () => {
  test('lists parked messages with reason and attempts, and counts them by queue', async () => {
    const { open, inspector, soon, clock } = inspectedBuses();
    const bus = await open('photos');
    const resize = ({ n }: Job, { park }: { readonly park: (reason: string) => never }): void => {
      if (n === 1) park('too large');
      if (n === 2) throw new Error('no store');
    };
    await bus.serve(photos, handlers({ resize }));
    await bus.submitAll(photos.resize, jobs(4));
    await clock.advance(300_000);
    const look = await inspector();
    const found = await soon(all(look.parked('photos.work')));
    expect(found).toMatchObject([
      { queue: 'photos.work', entry: 'photos.resize', key: 'k1', reason: 'too large', instance: 'photos#1' },
      {
        key: 'k2',
        reason: 'attempt 2 of 2 failed: no store',
        attemptCount: 2,
        attempts: [{ attempt: 1 }, { attempt: 2 }],
      },
    ]);
    expect(await soon(all(look.parked('photos.work', { key: 'k2' })))).toHaveLength(1);
    expect(await soon(look.queues(['photos.work']))).toMatchObject([{ parked: 2, waiting: 0 }]);
    expect(await soon(all(look.parked('photos.slow')))).toEqual([]);
  });

  test('counts only the newest record of each parked message, and no removed ones', async () => {
    const { inspector, soon, ports } = inspectedBuses();
    const { log } = ports('x');
    const topic = 't.photos.parked';
    await log.ensure({ name: topic, partitions: 1, compacted: false, keepMs: null }); // a topic that has not been compacted yet
    const note = (offset: number, reason: string) => {
      const about = {
        queue: 'photos.work',
        topic: 't.photos.work',
        partition: 0,
        offset,
        id: `m${offset}`,
        entry: 'photos.resize',
      };
      const more = {
        key: null,
        reason,
        attemptCount: 1,
        attempts: [],
        parkedAtMs: 1,
        instance: 'photos#1',
        version: '',
      };
      return {
        key: Buffer.from(`photos.work/t.photos.work/0/${offset}`),
        parked: JSON.stringify({ ...about, ...more }),
      };
    };
    const put = async (offset: number, reason: string | null): Promise<void> => {
      const { key, parked } = note(offset, reason ?? '');
      const headers: Record<string, string> = reason === null ? {} : { parked };
      const value = reason === null ? null : new Uint8Array(0);
      await log.append(topic, [{ partition: 0, key, value, headers }]);
    };
    await put(1, 'first');
    await put(2, 'gone');
    await put(1, 'second');
    await put(2, null);
    const look = await inspector();
    expect(await soon(all(look.parked()))).toMatchObject([{ id: 'm1', reason: 'second' }]);
    expect(await soon(look.queues())).toMatchObject([{ queue: 'photos.work', parked: 1 }]);
    expect(await soon(all(look.parked('photos.work')))).toHaveLength(1);
  });
});

describe('show', () => {
  test('finds messages by the start of their id, with their state in each queue', async () => {
    const { open, inspector, soon, clock } = inspectedBuses();
    const search = await open('search');
    await search.listen(photos.added, { as: 'index' }, never);
    await search.listen(photos.added, { as: 'log' }, () => {});
    const bus = await open('photos');
    await bus.serve(photos, handlers({ resize: (_job, { park }) => park('no') }));
    const event = await bus.publish(photos.added, { n: 1, key: 'a' });
    await clock.advance(5_000);
    const job = await bus.submit(photos.resize, { n: 2, key: 'b' });
    await clock.advance(5_000);
    const look = await inspector();
    expect(await soon(look.show(event.id.slice(0, 10)))).toMatchObject([
      {
        message: { id: event.id, entry: 'photos.added', kind: 'event', from: 'photos#1' },
        places: [
          { queue: 'search.index', state: 'running', on: 'search#1' },
          { queue: 'search.log', state: 'settled' },
        ],
      },
    ]);
    expect(await soon(look.show(job.id))).toMatchObject([
      { message: { id: job.id }, places: [{ queue: 'photos.work', state: 'parked', parked: { reason: 'no' } }] },
    ]);
    expect(await soon(look.show('0'))).toHaveLength(2);
    expect(await soon(look.show('zz'))).toEqual([]);
  });
});

describe('tail', () => {
  test('follows work and events, also of topics that are created meanwhile', async () => {
    const { open, inspector, clock } = inspectedBuses();
    const web = await open('web');
    await web.submit(photos.resize, { n: 0, key: 'before' });
    const look = await inspector();
    const ends = new AbortController();
    const seen: string[] = [];
    const tailing = (async () => {
      for await (const { entry, key } of look.tail([], { signal: ends.signal })) seen.push(`${entry} ${key}`);
    })();
    await clock.advance(10);
    await web.submit(photos.resize, { n: 1, key: 'a' });
    await clock.advance(10);
    await web.publish(photos.added, { n: 2, key: 'b' }); // a new topic
    await clock.advance(1_500);
    await web.submit(photos.resize, { n: 3, key: 'c' });
    await clock.advance(10);
    expect(seen).toEqual(['photos.resize a', 'photos.added b', 'photos.resize c']);
    ends.abort();
    await clock.advance(1);
    await tailing;
  });

  test('applies names and filters, and starts at sinceMs', async () => {
    const { open, inspector, soon, clock } = inspectedBuses();
    const search = await open('search');
    await search.listen(photos.added, { as: 'index' }, () => {});
    const web = await open('web');
    await web.publishAll(photos.added, jobs(2));
    await web.publishAll(photos.removed, jobs(2));
    await web.submitAll(photos.resize, jobs(2));
    await clock.advance(10);
    const look = await inspector();
    const { signal } = new AbortController();
    const first = async (names: string[], filter: object, most: number) =>
      (await soon(all(look.tail(names, { signal, sinceMs: 0, ...filter }), most))).map(({ entry }) => entry);
    expect(await first(['search.index'], {}, 2)).toEqual(['photos.added', 'photos.added']);
    expect((await first(['photos'], { key: 'k1' }, 2)).toSorted()).toEqual(['photos.added', 'photos.resize']);
    await expect(first(['photoz'], {}, 1)).rejects.toThrow('there is no module photoz; the nearest is photos');
  });
});

describe('instances', () => {
  test('returns the status of each instance, and marks one that does not answer', async () => {
    const { open, inspector, soon, clock, world } = inspectedBuses();
    const bus = await open('photos');
    await bus.serve(photos, handlers({ resize: never }));
    await bus.submit(photos.resize, { n: 1, key: 'a' });
    await clock.advance(100);
    const frozen = world.process('web#9');
    await frozen.registry.announce({
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
    const look = await inspector();
    const found = await soon(look.instances());
    expect(found).toMatchObject([
      {
        name: 'photos#1',
        version: '1.2.3',
        silent: null,
        status: { queues: expect.arrayContaining([expect.objectContaining({ queue: 'photos.work' })]) },
      },
      { name: 'web#9', status: null, silent: expect.any(String) },
    ]);
    await expect(soon(look.instances('photo'))).rejects.toThrow('the nearest is photos');
  });
});
