/** Instances of two versions share a queue: messages of an entry that only one of them serves reach that one. */
import { partitionOf } from '../../src/format/partition';
import type { AnyEntry } from '../../src/contract/types';
import type { Run } from '../../src/delivery/deliver';
import type { MemoryProcess } from '../../src/memory';
import type { QueueConsumer } from '../../src/work/types';
import { heavy } from '../heavy';
import { jobs, workQueue, topic, type Job } from '../support/work-queue';

const { resize } = jobs();
const [crop, rotate] = [
  { ...resize, name: 'photos.crop' },
  { ...resize, name: 'photos.rotate' },
];
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, n) => ({ n: from + n }));

function trackedQueue() {
  const r = workQueue();
  const handled: string[] = [];
  const sentMs = new Map<string, number>();
  let slowestMs = 0;
  const handle =
    ({ name: who }: MemoryProcess, { name }: AnyEntry) =>
    ({ n }: Job): void => {
      handled.push(`${who}: ${name} ${n}`);
      slowestMs = Math.max(slowestMs, r.clock.now() - (sentMs.get(`${name} ${n}`) ?? 0));
    };
  return {
    ...r,
    handled,
    get slowestMs() {
      return slowestMs;
    },
    by: (who: string, { name }: AnyEntry) => handled.filter((one) => one.startsWith(`${who}: ${name} `)).length,
    start(process: MemoryProcess, ...entries: AnyEntry[]): Promise<QueueConsumer> {
      // The engine passes what the schema returned; these tests send only jobs.
      const runs = entries.map((entry) => [entry.name, { entry, run: handle(process, entry) as Run }] as const);
      return r.take(process, resize, () => undefined, { entries: new Map(runs) });
    },
    async send(entry: AnyEntry, some: readonly Job[]): Promise<void> {
      for (const { n } of some) sentMs.set(`${entry.name} ${n}`, r.clock.now());
      await r.sender(r.process('web')).send(entry, some);
    },
  };
}

test('jobs of a new entry reach the new version within a second', async () => {
  const c = trackedQueue();
  const older = await c.start(c.process('old'), resize);
  const newer = await c.start(c.process('new'), resize, crop);
  await c.clock.advance(1_000);
  expect(older.stats().partitions).toHaveLength(6);
  await c.send(crop, numbers(100));
  await c.clock.advance(1_000);
  expect(c.by('new', crop)).toBe(100);
  expect(c.slowestMs).toBeLessThan(1_000);
  await c.send(crop, numbers(100, 100));
  await c.clock.advance(1_000);
  expect([c.by('new', crop), c.by('old', crop)]).toEqual([200, 0]);
  expect(newer.stats().unserved).toEqual([]);
  expect(older.stats().unserved).toEqual([]);
  await older.close();
  await c.send(resize, numbers(24));
  await c.clock.advance(1_000);
  expect(c.by('new', resize)).toBe(24);
});

test('partitions without jobs of the new entry stay with the instance of the old version', async () => {
  const c = trackedQueue();
  const older = await c.start(c.process('old'), resize);
  await c.start(c.process('new'), resize, crop);
  await c.clock.advance(1_000);
  const [mine] = older.stats().partitions;
  const key = numbers(1_000).find(({ n }) => partitionOf(Buffer.from(`${n}`), topic.partitions) === mine)!;
  await c.send(crop, [key]);
  await c.clock.advance(1_000);
  expect(c.by('new', crop)).toBe(1);
  expect(older.stats().partitions).toHaveLength(6);
  expect(older.stats().partitions).not.toContain(mine);
  await c.send(resize, numbers(60));
  await c.clock.advance(1_000);
  expect(c.by('old', resize)).toBeGreaterThan(0);
  expect(c.handled).toHaveLength(61);
});

test('a message without a serving instance waits, is reported once, and is handled later', async () => {
  const c = trackedQueue();
  const older = await c.start(c.process('old'), resize);
  const second = await c.start(c.process('old2'), resize);
  await c.clock.advance(1_000);
  await c.send(crop, numbers(1));
  await c.clock.advance(60_000);
  expect(c.of('stuck')).toHaveLength(1);
  const changes = c.of('partition').length;
  expect([...older.stats().unserved, ...second.stats().unserved]).toMatchObject([{ entry: crop.name, waiting: 1 }]);
  await c.clock.advance(60_000);
  expect(c.of('partition')).toHaveLength(changes); // no partition moves for it
  await c.start(c.process('new'), resize, crop);
  await c.clock.advance(1_000);
  expect(c.by('new', crop)).toBe(1);
});

test('an instance that met unserved jobs everywhere gets partitions back only when alone', async () => {
  const c = trackedQueue();
  const older = await c.start(c.process('old'), resize);
  await c.send(crop, numbers(100));
  await c.clock.advance(1_000);
  const newer = await c.start(c.process('new'), resize, crop);
  await c.clock.advance(2_000);
  expect(newer.stats().partitions).toHaveLength(12);
  expect(c.by('new', crop)).toBe(100);
  await newer.close();
  await c.clock.advance(1_000);
  expect(older.stats().partitions).toHaveLength(12);
});

heavy('two versions that each serve a different entry handle all jobs within 12 s', async () => {
  const c = trackedQueue();
  const older = await c.start(c.process('old'), resize, crop);
  const newer = await c.start(c.process('new'), resize, rotate);
  await c.clock.advance(1_000);
  for (let n = 0; n < 200; n++) {
    await c.send(crop, numbers(1, n));
    await c.send(rotate, numbers(1, n));
    await c.clock.advance(100);
  }
  await c.clock.advance(15_000);
  expect([c.by('old', crop), c.by('new', rotate)]).toEqual([200, 200]);
  expect(c.slowestMs).toBeLessThan(12_000);
  // Every move handles waiting messages, so partitions do not move back and forth endlessly.
  const moves = c.of('partition').length;
  await c.clock.advance(60_000);
  expect(c.of('partition')).toHaveLength(moves);
  expect([...older.stats().unserved, ...newer.stats().unserved]).toEqual([]);
});

test('messages of paused entries do not move their partitions all the time', async () => {
  const c = trackedQueue();
  const paused = { limits: () => ({ concurrency: 0 }) };
  const of = (...entries: AnyEntry[]) =>
    new Map(entries.map((entry) => [entry.name, { entry, run: (() => undefined) as Run }]));
  await c.send(crop, [{ n: 1, key: 'k' }]);
  await c.send(rotate, [{ n: 2, key: 'l' }]);
  await c.take(c.process('old'), resize, () => undefined, { entries: of(resize, crop), ...paused });
  await c.take(c.process('new'), resize, () => undefined, { entries: of(resize, rotate), ...paused });
  await c.clock.advance(60_000);
  expect(c.of('partition').length).toBeLessThan(12 + 12 + 2 * 2 * 16);
});

test('key order and attempt counts are kept when a partition moves', async () => {
  const r = workQueue();
  const seen: string[] = [];
  const { resize: first } = jobs({ attempts: 3, backoffMs: 200 });
  const second = { ...first, name: 'photos.crop' };
  const run =
    (who: string, name: string) =>
    ({ n }: Job, { attempt }: { attempt: number }) => {
      seen.push(`${who} ${name} ${n}: ${attempt}`);
      if (n === 0 && attempt < 3) throw new Error('again');
    };
  const entries = (who: string, ...all: AnyEntry[]) =>
    new Map(all.map((entry) => [entry.name, { entry, run: run(who, entry.name.slice(7)) as unknown as Run }]));
  const sender = r.sender(r.process('web'));
  await r.take(r.process('old'), first, () => undefined, { entries: entries('old', first) });
  await r.clock.advance(100);
  await sender.send(first, [{ n: 0, key: 'k' }]);
  await r.clock.advance(50);
  await sender.send(second, [{ n: 1, key: 'k' }]);
  await sender.send(first, [{ n: 2, key: 'k' }]);
  await r.take(r.process('new'), first, () => undefined, { entries: entries('new', first, second) });
  await r.clock.advance(5_000);
  expect(seen.map((one) => one.slice(4))).toEqual([
    'resize 0: 1',
    'resize 0: 2',
    'resize 0: 3',
    'crop 1: 1',
    'resize 2: 1',
  ]);
});
