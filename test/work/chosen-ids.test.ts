/** Messages with ids that their senders chose: each id is handled once, also across owners of its partition. */
import { BusError } from '../../src/base/errors';
import { limits } from '../../src/base/limits';
import { printEnvelope } from '../../src/format/envelope-printer';
import { encodeBody } from '../../src/format/codec';
import type { MemoryProcess } from '../../src/memory';
import { openIdWindow } from '../../src/delivery/id-window';
import { findParked } from '../../src/work/parked/find';
import { replay } from '../../src/work/parked/replay';
import type { ConsumerParts, Queue } from '../../src/work/types';
import { jobs, loose, parked, topic, workQueue, type RunJob } from '../support/work-queue';

const never = new Promise<void>(() => undefined);
const minuteMs = 60_000;
const { resize } = jobs();

/** A queue in which each job has one key, so that all are in one partition, and the numbers of handled jobs. */
function oneKey() {
  const r = workQueue();
  const [web, a, b] = [r.process('web'), r.process('a'), r.process('b')];
  const sender = r.sender(web);
  const handled: string[] = [];
  const take = (p: MemoryProcess, more: Partial<Queue> = {}) =>
    r.take(p, resize, ({ n }, { id }) => void handled.push(`${p.name} ${n} ${id}`), more);
  const send = (id: string | undefined, n = 1) =>
    sender.send(resize, [{ n, key: 'k' }], 'one', { ids: id === undefined ? undefined : () => id });
  /** Sends this many jobs without an id. */
  const fill = async (count: number) => {
    const some = Array.from({ length: count }, (_, n) => ({ n: n % 100, key: 'k' }));
    for (let at = 0; at < count; at += 1_000) await sender.send(resize, some.slice(at, at + 1_000));
  };
  const dropped = () => r.of('dropped').map(({ reason }) => reason);
  const takeWith = (p: MemoryProcess, run: RunJob, parts: Partial<ConsumerParts> = {}) =>
    r.take(p, resize, run, {}, parts);
  return { ...r, web, a, b, take, takeWith, send, fill, handled, dropped };
}

test('the same id is handled once, and each copy is reported with the place of the first', async () => {
  const r = oneKey();
  await r.take(r.a);
  for (let n = 0; n < 3; n++) expect(await r.send('order 7')).toMatchObject([{ id: 'order 7', reached: 'disk' }]);
  await r.send(undefined);
  await r.send(undefined);
  await r.clock.advance(1_000);
  expect(r.handled.filter((one) => one.endsWith(' order 7'))).toEqual(['a 1 order 7']);
  expect(r.handled).toHaveLength(3);
  const reason = expect.stringMatching(/^it is a copy of t\.photos\.work\/\d+\/0, which has its id$/);
  expect(r.of('dropped')).toMatchObject([1, 2].map(() => ({ reason, id: 'order 7', entry: 'photos.resize' })));
  const { committed, end } = await r.progress(r.a);
  expect([committed, end]).toEqual([5, 5]);
});

test('the next owner of a partition recognizes a copy of a message that the one before has handled', async () => {
  const r = oneKey();
  await r.take(r.a);
  await r.send('x');
  await r.fill(500);
  await r.clock.advance(1_000);
  r.a.crash();
  r.handled.length = 0;
  await r.take(r.b);
  await r.send('x');
  await r.clock.advance(1_000);
  expect(r.handled).toEqual([]);
  expect(r.dropped()).toHaveLength(1);
});

test('a copy that waits while its first message runs in a process that dies is dropped, and the first is handled', async () => {
  const r = oneKey();
  let runs = 0;
  await r.send('x');
  await r.send('x');
  await r.takeWith(r.a, () => (runs++, never));
  await r.clock.advance(1_000);
  r.a.crash();
  await r.take(r.b);
  await r.clock.advance(1_000);
  expect([runs, r.handled]).toEqual([1, ['b 1 x']]);
});

test('a message is redelivered after a failed attempt, although its id is known', async () => {
  const r = workQueue();
  const p = r.process('a');
  const attempts: number[] = [];
  await r.take(p, resize, (_job, { attempt }) => {
    attempts.push(attempt);
    if (attempt < 3) throw new Error('not yet');
  });
  await r.sender(p).send(resize, [{ n: 1 }], 'one', { ids: () => 'x' });
  await r.clock.advance(10_000);
  expect(attempts).toEqual([1, 2, 3]);
});

test('an id counts for 10 minutes after its last record', async () => {
  const r = oneKey();
  await r.take(r.a);
  await r.send('x');
  await r.clock.advance(9 * minuteMs);
  await r.send('x');
  await r.clock.advance(9 * minuteMs); // 18 minutes after the first one
  await r.send('x');
  await r.clock.advance(11 * minuteMs);
  expect(r.handled).toHaveLength(1);
  await r.send('x');
  await r.clock.advance(1_000);
  expect(r.handled).toHaveLength(2);
});

test('an id counts for 10,000 records of its partition, for the same owner and the next one', async () => {
  const r = oneKey();
  await r.take(r.a);
  await r.send('x');
  await r.fill(limits.idWindowRecords - 1);
  await r.clock.advance(60_000);
  r.a.crash();
  await r.take(r.b);
  await r.send('x'); // 10,000 records after the first one
  await r.clock.advance(1_000);
  expect(r.dropped()).toHaveLength(1);
  await r.fill(limits.idWindowRecords);
  await r.send('x');
  await r.clock.advance(60_000);
  expect(r.dropped()).toHaveLength(1);
});

test('the same id in another partition is another message', async () => {
  const r = workQueue();
  const p = r.process('a');
  let handled = 0;
  await r.take(p, resize, () => void handled++);
  for (const key of ['k', 'another'])
    await r.sender(r.process(key)).send(resize, [{ n: 1, key }], 'one', { ids: () => 'x' });
  await r.clock.advance(1_000);
  expect(handled).toBe(2);
});

test('without a key, the same id is sent to the same partition', async () => {
  const r = workQueue();
  const p = r.process('a');
  const { resize: keyless } = loose();
  let handled = 0;
  await r.take(p, keyless, () => void handled++);
  for (const name of ['s', 't', 'u'])
    await r.sender(r.process(name)).send(keyless, [{ n: 1 }], 'one', { ids: () => 'x' });
  await r.clock.advance(1_000);
  expect(handled).toBe(1);
});

test('the same id with another body is parked, with both places', async () => {
  const r = oneKey();
  await r.take(r.a);
  await r.send('x', 1);
  await r.sender(r.b).send(resize, [{ n: 2, key: 'k' }], 'one', { ids: () => 'x' });
  await r.send('x', 1);
  await r.clock.advance(1_000);
  expect(r.handled).toEqual(['a 1 x']);
  const [{ note } = { note: undefined }, ...others] = await r.parkedNow(r.a);
  expect(others).toEqual([]);
  expect(note?.reason).toMatch(
    /^its id belongs to t\.photos\.work\/(\d+)\/0, which has another body than this message at t\.photos\.work\/\1\/1$/,
  );
  expect(note).toMatchObject({ id: 'x', entry: 'photos.resize', attemptCount: 0 });
});

test('another body under the same id rejects with Conflict at its sender', async () => {
  const r = oneKey();
  await r.take(r.a);
  await r.send('x', 1);
  const message = "the id 'x' for photos.resize was given to another body 0 ms ago";
  await expect(r.send('x', 2)).rejects.toMatchObject({ code: 'Conflict', message, details: { key: 'x' } });
  const sender = r.sender(r.web);
  const list = [1, 2, 3].map((n) => ({ n, key: 'k' }));
  const ids = ['p', 'q', 'p'];
  await expect(sender.send(resize, list, 'list', { ids: (_job, n) => ids[n] ?? '' })).rejects.toMatchObject({
    code: 'Conflict',
    details: { key: 'p', index: 2, id: 'p' },
  });
  await sender.send(resize, [{ n: 9, key: 'k' }], 'one', { ids: () => 'p' }); // nothing of the list was sent
  await r.clock.advance(1_000);
  expect(r.handled).toEqual(['a 1 x', 'a 9 p']);
});

test('a replayed message is handled, although its id is known', async () => {
  const r = workQueue();
  const p = r.process('a');
  let isBroken = true;
  const handled: string[] = [];
  await r.take(p, resize, ({ n }, { id, park }) => {
    if (isBroken) park('broken');
    handled.push(`${n} ${id}`);
  });
  const sender = r.sender(p);
  const send = () => sender.send(resize, [{ n: 1 }], 'one', { ids: () => 'x' });
  await send();
  await r.clock.advance(1_000);
  isBroken = false;
  await send(); // the id belongs to the parked message
  await r.clock.advance(1_000);
  expect(handled).toEqual([]);
  const parts = { log: p.log, clock: p.clock, random: p.random, instance: 'busbar#op' };
  expect(await replay(parts, await findParked(p.log, parked.name))).toBe(1);
  await r.clock.advance(1_000);
  expect(handled).toEqual(['1 x']);
});

describe('reading back', () => {
  /** Counts the peeks of a process, which rejects while `isAway` is true. */
  function watchPeeks({ log }: MemoryProcess) {
    const watched = { peeks: 0, isAway: false };
    return Object.assign(watched, {
      log: {
        ...log,
        peek: (...of: Parameters<typeof log.peek>) => {
          watched.peeks++;
          const away = new BusError('Unreachable', 'away', { outcome: 'not-sent', waitedMs: 0 });
          return watched.isAway ? Promise.reject(away) : log.peek(...of);
        },
      },
    });
  }

  test('is retried before any record is admitted', async () => {
    const r = oneKey();
    await r.take(r.a);
    await r.send('x');
    await r.clock.advance(1_000);
    r.a.crash();
    const watched = watchPeeks(r.b);
    watched.isAway = true;
    const again: string[] = [];
    await r.takeWith(r.b, ({ n }, { id }) => void again.push(`${n} ${id}`), { log: watched.log });
    await r.send('x');
    await r.send('y');
    await r.clock.advance(10_000);
    expect(again).toEqual([]);
    expect(r.of('state').at(-1)).toMatchObject({ ok: false, reason: 'it cannot be read: away' });
    watched.isAway = false;
    await r.clock.advance(10_000);
    expect(again).toEqual(['1 y']);
  });

  test('is not needed in partitions without chosen ids', async () => {
    const r = oneKey();
    await r.take(r.a);
    await r.fill(300);
    await r.clock.advance(1_000);
    r.a.crash();
    const watched = watchPeeks(r.b);
    await r.takeWith(r.b, () => undefined, { log: watched.log });
    await r.fill(300);
    await r.clock.advance(1_000);
    expect(watched.peeks).toBe(0);
  });

  test('ends at 10,000 records, and reads none that are older than 10 minutes', async () => {
    const r = oneKey();
    await r.take(r.a);
    await r.send('x');
    await r.fill(3_000);
    await r.clock.advance(30 * minuteMs);
    await r.send('y');
    await r.clock.advance(1_000);
    r.a.crash();
    const watched = watchPeeks(r.b);
    const recalled: number[] = [];
    const makeIdWindow = () => {
      const inner = openIdWindow();
      const recall: typeof inner.recall = (record, chosen) => {
        recalled.push(record.offset);
        inner.recall(record, chosen);
      };
      return { ...inner, note: inner.note.bind(inner), recall };
    };
    await r.takeWith(r.b, () => undefined, { log: watched.log, makeIdWindow });
    await r.send('y');
    await r.clock.advance(1_000);
    expect(recalled).toEqual([3_001]);
    expect(watched.peeks).toBeLessThan(20);
  });
});

test('records that an id window needs are not trimmed', async () => {
  const r = oneKey();
  const keepMs = 1_000;
  await r.take(r.a, { keepMs });
  await r.fill(100);
  await r.clock.advance(20 * minuteMs);
  await r.send('x');
  await r.fill(100);
  await r.clock.advance(9 * minuteMs);
  const [bounds] = (await r.a.log.bounds(topic.name)).filter(({ end }) => end > 0);
  expect(bounds).toMatchObject({ start: expect.any(Number), end: 201 });
  expect(bounds?.start).toBeLessThanOrEqual(100);
  r.a.crash();
  await r.take(r.b, { keepMs });
  await r.send('x');
  await r.clock.advance(1_000);
  expect(r.dropped()).toHaveLength(1);
  await r.clock.advance(40 * minuteMs);
  const [later] = (await r.b.log.bounds(topic.name)).filter(({ end }) => end > 0);
  expect(later?.start).toBeGreaterThan(100);
});

test('a group that starts at the end ignores the ids of events that it has not received', async () => {
  const r = oneKey();
  await r.send('x');
  await r.take(r.a, { from: 'end' });
  await r.clock.advance(1_000);
  await r.send('x');
  await r.clock.advance(1_000);
  expect(r.handled).toEqual(['a 1 x']);
  r.a.crash();
  await r.take(r.b, { from: 'end' });
  await r.send('x');
  await r.clock.advance(1_000);
  expect(r.handled).toEqual(['a 1 x']);
});

test('a foreign producer marks an id with once=given', async () => {
  const r = workQueue();
  const p = r.process('a');
  let handled = 0;
  await r.take(p, resize, () => void handled++);
  const bus = '1 work photos.resize order-4711 console - once=given';
  expect(
    printEnvelope({ kind: 'work', entry: 'photos.resize', id: 'order-4711', from: 'console', once: 'given' }),
  ).toBe(bus);
  const value = encodeBody({ n: 1 }, 100);
  for (let n = 0; n < 2; n++) await r.append(p, { partition: 0, key: null, value, headers: { bus } });
  await r.clock.advance(1_000);
  expect(handled).toBe(1);
});
