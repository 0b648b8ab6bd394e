import { Capacity } from '../../src/base/bounded';
import { systemClock } from '../../src/base/clock';
import { openNotices } from '../../src/base/notices';
import { limits } from '../../src/base/limits';
import { defineModule, event, unchecked } from '../../src/contract/contract';
import type { Append } from '../../src/ports/log';
import { openWatermark, type Range } from '../../src/work/progress/watermark';
import { decodeState } from '../../src/work/progress/commit-state';
import { eventTopic, workTopic } from '../../src/work/topics';
import type { Run } from '../../src/delivery/deliver';
import { memoryWorld } from '../../src/memory';
import { gates, group, jobs, loose, workQueue, topic, type Job } from '../support/work-queue';
import { heavy } from '../heavy';

const never = new Promise<void>(() => undefined);
const numbers = (count: number) => Array.from({ length: count }, (_, n) => ({ n }));
/** Lowers a limit for one test. */
const bound = (name: keyof typeof limits, to: number) => jest.replaceProperty(limits, name, to as never);
afterEach(() => jest.restoreAllMocks());

/** A record of partition 0, as any Kafka tool can write it. */
const raw = (n: number, more: Partial<Append> = {}): Append => ({
  partition: 0,
  key: null,
  value: Buffer.from([0x81, 0xa1, 0x6e, n]), // {n}
  headers: {},
  ...more,
});

test('a full partition buffer stops reading, names the blocking message, and resumes with room', async () => {
  bound('bufferMessagesMax', 40);
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  await r.sender(a).send(
    resize,
    numbers(500).map(({ n }) => ({ n, key: 'k' })),
  );
  const { wait, open } = gates();
  const seen: number[] = [];
  const queue = await r.take(a, resize, async ({ n }) => {
    if (n === 3) await wait('three');
    seen.push(n);
  });
  await r.clock.advance(9_000);
  expect(queue.stats()).toMatchObject({ waiting: 36, running: [{ attempt: 1 }] }); // 40 less those that ended
  expect(r.of('stuck')).toEqual([]);
  await r.clock.advance(60_000);
  expect(r.of('stuck')).toMatchObject([{ queue: 'photos.work', reason: expect.stringContaining('photos.resize') }]);
  expect(r.of('stuck')[0]?.reason).toContain(queue.stats().running[0]?.id);
  open('three');
  await r.clock.advance(1_000);
  expect(seen).toEqual(numbers(500).map(({ n }) => n));
});

test('a long queue that makes progress is not reported as stuck', async () => {
  bound('bufferMessagesMax', 40);
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  await r.sender(a).send(
    resize,
    numbers(100).map(({ n }) => ({ n, key: 'k' })),
  );
  await r.take(a, resize, () => new Promise<void>((resolve) => void r.clock.after(5_000, resolve)));
  await r.clock.advance(600_000);
  expect((await r.progress(a)).committed).toBe(100);
  expect(r.of('stuck')).toEqual([]);
});

heavy('while all handlers are busy, only a bounded number of messages is in memory', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  const { wait, open } = gates();
  await r.sender(a).send(
    resize,
    numbers(4_000).map(({ n }) => ({ n, key: n % 2 ? 'k' : 'l' })),
  );
  let concurrency = 2;
  const queue = await r.take(a, resize, () => wait('all'), { limits: () => ({ concurrency }) });
  await r.clock.advance(60_000);
  expect(queue.stats().waiting).toBeLessThanOrEqual(2_000); // of at most two partitions
  concurrency = 3;
  queue.applyLimits();
  await r.clock.advance(1_000);
  expect(queue.stats().waiting).toBe(3_998);
  expect(r.of('stuck')).toEqual([]);
  open('all');
  await r.clock.advance(1_000);
  expect((await r.progress(a)).committed).toBe(4_000);
});

test('the buffer of a partition is also bounded in bytes', async () => {
  bound('bufferBytesMax', 10_000);
  const r = workQueue();
  const a = r.process('a');
  const { resize } = loose();
  const large = Buffer.alloc(1_003, 'x').fill(Buffer.from([0xda, 1_000 >> 8, 1_000 & 255]), 0, 3); // a string
  await r.append(a, ...numbers(100).map(({ n }) => raw(n, { value: large, key: Buffer.from('k') })));
  const queue = await r.take(a, resize, () => never);
  await r.clock.advance(1_000);
  expect(queue.stats().waiting).toBeGreaterThan(5);
  expect(queue.stats().waiting).toBeLessThan(10);
});

test('all partitions of an instance share a byte bound, yet each of them is read', async () => {
  bound('instanceBufferBytesMax', 100_000);
  bound('partitionReserveBytes', 3_000);
  const r = workQueue();
  const a = r.process('a');
  const { resize } = loose();
  const large = Buffer.alloc(1_003, 'x').fill(Buffer.from([0xda, 1_000 >> 8, 1_000 & 255]), 0, 3); // a string
  for (let partition = 0; partition < 12; partition++)
    await r.append(a, ...numbers(100).map(({ n }) => raw(n, { partition, value: large, key: Buffer.from('k') })));
  const { wait, open } = gates();
  let handled = 0;
  const queue = await r.take(a, resize, async () => {
    await wait('all');
    handled++;
  });
  await r.clock.advance(1_000);
  expect(queue.stats().running).toHaveLength(12);
  expect(queue.stats().waiting).toBeGreaterThan(60);
  expect(queue.stats().waiting).toBeLessThan(12 * 4 + 100);
  await r.clock.advance(30_000);
  expect(r.of('stuck')[0]?.reason).toContain('of 100000 bytes of all partitions of this instance are used');
  open('all');
  await r.clock.advance(1_000);
  expect(handled).toBe(1_200);
});

test('a partition that waits for room resumes when another queue frees some', async () => {
  bound('instanceBufferBytesMax', 100_000);
  bound('partitionReserveBytes', 3_000);
  const r = workQueue();
  const a = r.process('a');
  const { resize } = loose();
  const buffered = new Capacity({ count: Infinity, bytes: limits.instanceBufferBytesMax });
  const large = Buffer.alloc(1_003, 'x').fill(Buffer.from([0xda, 1_000 >> 8, 1_000 & 255]), 0, 3); // a string
  const inLane = numbers(100).map(({ n }) => raw(n, { value: large, key: Buffer.from('k') }));
  await r.append(a, ...inLane);
  const slow = workTopic('t', 'photos', 'slow');
  await a.log.ensure(slow);
  await a.log.append(slow.name, [...inLane.slice(0, 20), raw(99)]);
  const { wait, open } = gates();
  await r.take(a, resize, () => wait('fast'), {}, { buffered });
  await r.clock.advance(1_000);
  const handled: unknown[] = [];
  const run = (job: unknown) => (typeof job === 'string' ? never : void handled.push(job));
  const other = { name: 'photos.slow', topic: slow, group: 't.photos.work.slow' };
  const queue = await r.take(a, resize, run, other, { buffered });
  await r.clock.advance(30_000);
  expect([queue.stats().waiting, handled]).toEqual([2, []]);
  open('fast');
  await r.clock.advance(1_000);
  expect([queue.stats().waiting, handled]).toEqual([19, [{ n: 99 }]]);
});

test('a partition that moves, or whose queue closes, releases its buffer space', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = loose();
  for (let partition = 0; partition < 12; partition++)
    await r.append(a, ...numbers(100).map(({ n }) => raw(n, { partition, key: Buffer.from('k') })));
  const buffered = new Capacity({ count: Infinity, bytes: limits.instanceBufferBytesMax });
  const queue = await r.take(a, resize, () => never, {}, { buffered });
  await r.clock.advance(1_000);
  expect(buffered.count).toBe(1_200);
  await r.take(b, resize, () => never);
  await r.clock.advance(100);
  expect(buffered.count).toBe(606); // six partitions move, of which what runs is still here
  await r.clock.advance(60_000);
  expect(buffered.count).toBe(600);
  const closing = queue.close();
  await r.clock.advance(100);
  expect(buffered.count).toBe(6);
  queue.abortRunning();
  await r.clock.advance(1_000);
  await closing;
  expect([buffered.count, buffered.bytes]).toEqual([0, 0]);
});

test('headers of a foreign producer count toward the bytes of the buffer', async () => {
  bound('bufferBytesMax', 100_000);
  const r = workQueue();
  const a = r.process('a');
  const { resize } = loose();
  const headers = Object.fromEntries(numbers(10).map(({ n }) => [`h${n}`, 'x'.repeat(1_000)]));
  await r.append(a, ...numbers(50).map(({ n }) => raw(n, { headers })));
  const queue = await r.take(a, resize, () => never, { limits: () => ({ concurrency: 1 }) });
  await r.clock.advance(1_000);
  expect(queue.stats().waiting).toBeLessThanOrEqual(10);
  expect(queue.stats().waiting).toBeGreaterThan(5);
});

test('at the limit of settled ranges only the lowest message can start', async () => {
  bound('openRangesMax', 20);
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = loose();
  await r.append(a, ...numbers(120).map(({ n }) => raw(n)));
  const first: number[] = [];
  // Every second handler ends, so that each of those messages is a range of its own.
  const queue = await r.take(a, resize, ({ n }) => (n % 2 === 0 ? never : void first.push(n)), {
    limits: () => ({ concurrency: 50 }),
  });
  await r.clock.advance(1_000);
  expect(first.length).toBeGreaterThanOrEqual(20);
  expect(first.length).toBeLessThan(40); // 20, and the ones that had started before the limit was reached
  expect(queue.stats().waiting).toBeGreaterThan(0); // though handlers are free
  expect(queue.stats().running.length).toBeLessThan(50);
  const [place] = (await a.log.committedOffsets(group, topic.name)).filter(({ partition }) => partition === 0);
  const committed = decodeState(place?.offset ?? -1, place?.state ?? new Uint8Array());
  expect(committed.ranges).toHaveLength(first.length);
  a.crash();
  const again: number[] = [];
  await r.take(b, resize, ({ n }) => void again.push(n));
  await r.clock.advance(5_000);
  expect(again.filter((n) => first.includes(n))).toEqual([]);
  expect(new Set([...first, ...again]).size).toBe(120);
});

test('at the limit of settled ranges the queue stops reading duplicates', async () => {
  bound('openRangesMax', 5);
  const r = workQueue();
  const a = r.process('a');
  const { resize } = loose();
  const stamped = (n: number, position: number) =>
    raw(n, { headers: { bus: `1 work photos.resize id-${n} web#1 0123456789abcdef:${position}` } });
  await r.append(a, ...numbers(40).map(({ n }) => stamped(n, n % 2 ? n - 1 : n))); // each second one repeats the one before
  const queue = await r.take(a, resize, () => never);
  await r.clock.advance(1_000);
  expect(r.of('dropped')).toHaveLength(5);
  expect(queue.stats()).toMatchObject({ waiting: 4, running: [{ offset: 0 }] });
});

test('at the limit of settled ranges work resumes when the lowest message settles', async () => {
  bound('openRangesMax', 5);
  const r = workQueue();
  const a = r.process('a');
  const { resize } = loose();
  await r.append(a, ...numbers(60).map(({ n }) => raw(n)));
  const { wait, open } = gates();
  const seen: number[] = [];
  await r.take(
    a,
    resize,
    async ({ n }) => {
      if (n % 2 === 0) await wait(`${n}`);
      seen.push(n);
    },
    { limits: () => ({ concurrency: 8 }) },
  );
  for (let n = 0; n < 60; n += 2) {
    await r.clock.advance(100);
    open(`${n}`);
  }
  await r.clock.advance(100);
  expect(seen.toSorted((x, y) => x - y)).toEqual(numbers(60).map(({ n }) => n));
});

test('a message of an unserved entry blocks its key and counts no attempt', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = jobs();
  const other = { ...resize, name: 'photos.sharpen' };
  const sender = r.sender(a);
  await sender.send(other, [{ n: 1, key: 'k' }]);
  await sender.send(resize, [
    { n: 2, key: 'k' },
    { n: 3, key: 'l' },
  ]);
  await sender.send(other, [{ n: 4, key: 'k' }]);
  const seen: string[] = [];
  await r.take(a, resize, ({ n }) => void seen.push(`${n}`));
  await r.clock.advance(60_000);
  expect(seen).toEqual(['3']);
  expect(r.of('stuck')).toMatchObject([
    { reason: expect.stringMatching(/^this instance does not serve photos.sharpen: /) },
  ]);
  a.crash();
  const attempts: number[] = [];
  const run = ({ n }: Job, { attempt }: { attempt: number }): void => {
    seen.push(`${n}`);
    attempts.push(attempt);
  };
  const entries = new Map([resize, other].map((entry) => [entry.name, { entry, run: run as Run }]));
  await r.take(b, resize, () => undefined, { entries });
  await r.clock.advance(1_000);
  expect(seen).toEqual(['3', '1', '2', '4']);
  expect(attempts).toEqual([1, 1, 1]);
});

test('a new listener starts at the end and skips other events of the module', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { added, gone } = defineModule('photos', {
    added: event(unchecked<Job>(), { key: ({ n }) => String(n) }),
    gone: event(unchecked<Job>()),
  });
  const sender = r.sender(a);
  await sender.send(added, [{ n: 0 }]);
  const events = eventTopic('t', added);
  const seen: number[] = [];
  const listener = { topic: events, group: 'search.index', name: 'search.index', other: 'skip', from: 'end' } as const;
  await r.take(a, added, ({ n }) => void seen.push(n), listener);
  for (let n = 1; n <= 20; n++) await sender.send(n % 2 ? added : gone, [{ n }]);
  await r.clock.advance(1_000);
  expect(seen.toSorted((x, y) => x - y)).toEqual([1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
  const places = await a.log.committedOffsets('search.index', events.name);
  expect(places.reduce((sum, { offset }) => sum + offset, 0)).toBe(21);
  expect(r.of('stuck')).toEqual([]);
});

test('trimmed records are reported by offset, and existing records are handled', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = loose();
  const seen: number[] = [];
  const queue = await r.take(a, resize, ({ n }) => void seen.push(n));
  await r.append(a, ...numbers(5).map(({ n }) => raw(n)));
  await r.clock.advance(100);
  await queue.close();
  await r.append(a, ...numbers(5).map(({ n }) => raw(n + 5)));
  await a.log.trim(topic.name, 0, 8);
  await r.take(a, resize, ({ n }) => void seen.push(n));
  await r.clock.advance(100);
  expect(seen).toEqual([0, 1, 2, 3, 4, 8, 9]);
  expect(r.of('dropped')).toMatchObject([{ what: `${topic.name}/0/5-7` }]);
  expect((await r.progress(a)).committed).toBe(10);
});

test('a group without a commit starts at the start of the log', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = loose();
  await r.append(a, ...numbers(5).map(({ n }) => raw(n)));
  await a.log.trim(topic.name, 0, 3);
  const seen: number[] = [];
  await r.take(a, resize, ({ n }) => void seen.push(n));
  await r.clock.advance(100);
  expect(seen).toEqual([3, 4]);
  expect(r.of('dropped')).toEqual([]);
});

test('records without a value are skipped and reported', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = loose();
  await r.append(a, raw(0), raw(1, { value: null }), raw(2));
  const seen: number[] = [];
  await r.take(a, resize, ({ n }) => void seen.push(n));
  await r.clock.advance(100);
  expect(seen).toEqual([0, 2]);
  expect(r.of('dropped')).toMatchObject([{ what: `${topic.name}/0/1`, reason: 'it has no value' }]);
  expect((await r.progress(a)).committed).toBe(3);
});

test('perSecond limits the whole instance, and can change while it runs', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = loose();
  await r.sender(a).send(resize, numbers(200));
  const startMs = r.clock.now();
  const at: number[] = [];
  let perSecond = 10;
  const queue = await r.take(a, resize, () => void at.push(r.clock.now() - startMs), {
    limits: () => ({ concurrency: 50, perSecond }),
  });
  await r.clock.advance(5_000);
  expect(at.length).toBeGreaterThanOrEqual(58);
  expect(at.length).toBeLessThanOrEqual(60);
  perSecond = 1_000;
  queue.applyLimits();
  await r.clock.advance(1_000);
  expect(at).toHaveLength(200);
});

test('a failed read is retried after a pause, and reported once', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = loose();
  await r.append(a, ...numbers(3).map(({ n }) => raw(n)));
  const at: number[] = [];
  const startMs = r.clock.now();
  const seen: number[] = [];
  r.world.faults = ({ call, topic: to, n }) => {
    if (call !== 'read' || to !== topic.name || n > 15) return undefined;
    if (n > 12) at.push(r.clock.now() - startMs);
    return { error: new Error('no disk'), done: false };
  };
  await r.take(a, resize, ({ n }) => void seen.push(n));
  await r.clock.advance(5_000);
  expect(seen).toEqual([0, 1, 2]);
  expect(at).toEqual([100, 100, 100]); // twelve partitions failed once, three of them again
  const told = r.of('state').filter(({ part }) => part === 'partition photos.work/0');
  expect(told.map(({ ok }) => ok)).toEqual([false, true]);
});

heavy('the owner trims settled records older than keepMs, but never unsettled ones', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = loose();
  await r.take(a, resize, ({ n }) => (n === 6 ? never : undefined), { keepMs: 3_600_000 });
  for (let n = 0; n < 10; n++) {
    await r.append(a, raw(n));
    await r.clock.advance(1_200_000);
  }
  const start = async () => (await a.log.bounds(topic.name))[0]?.start;
  expect(await start()).toBe(6);
  await r.clock.advance(86_400_000);
  expect(await start()).toBe(6);
});

test('an injected watermark decides which offset is committed', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = loose();
  await r.append(a, ...numbers(3).map(({ n }) => raw(n)));
  // A simulated bug: the highest settled offset is taken for the lowest unsettled one.
  const makeWatermark = (at: number, seen: number, ranges: readonly Range[]) => {
    const real = openWatermark(at, seen, ranges);
    let highest = at;
    return Object.create(real, {
      see: { value: (offset: number) => real.see(offset) },
      pass: { value: (next: number) => real.pass(next) },
      settle: { value: (offset: number) => ((highest = Math.max(highest, offset + 1)), real.settle(offset)) },
      ranges: { value: () => [] },
      at: { get: () => highest },
      seen: { get: () => real.seen },
      openRanges: { get: () => 0 },
      unsettled: { get: () => real.unsettled },
    }) as typeof real;
  };
  await r.take(a, resize, ({ n }) => (n === 1 ? never : undefined), {}, { makeWatermark });
  await r.clock.advance(1_000);
  a.crash();
  const seen: number[] = [];
  await r.take(b, resize, ({ n }) => void seen.push(n));
  await r.clock.advance(1_000);
  expect(seen).toEqual([]); // the message that ran is lost
});

heavy('handlers without an await leave time for the event loop', async () => {
  const world = memoryWorld({ clock: systemClock });
  const r = workQueue();
  const a = world.process('a');
  const { resize } = loose();
  await r.append(a as never, ...numbers(1_000).map(({ n }) => raw(n % 100)));
  let handled = 0;
  let turns = 0;
  const turn = (): void => void (handled < 1_000 && (turns++, setImmediate(turn)));
  const queue = await r.take(a, resize, () => {
    const untilMs = performance.now() + 0.05;
    while (performance.now() < untilMs);
    handled++;
  });
  turn();
  while (handled < 1_000) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(turns).toBeGreaterThan(3); // 50 ms of handlers in bursts of 10 ms
  await queue.close();
});

test('a notice watcher that throws does not stop the reading of a partition', async () => {
  const r = workQueue();
  const p = r.process('p');
  const { resize } = jobs();
  await r.sender(p).send(resize, [{ n: 1 }, { n: 2 }]);
  const notices = openNotices();
  notices.watch(() => {
    throw new Error('not ready');
  });
  const seen: number[] = [];
  const queue = await r.take(p, resize, ({ n }) => void seen.push(n), {}, { notices });
  await r.clock.advance(10_000);
  expect(new Set(seen)).toEqual(new Set([1, 2]));
  expect(await r.progress(p)).toEqual({ committed: 2, end: 2 });
  await queue.close();
});
