import { BusError } from '../../src/base/errors';
import type { Schema } from '../../src/contract/types';
import { promisesRunOut } from '../../src/memory/clock';
import { PartitionLostError, type OwnedPartition } from '../../src/ports/log';
import { encodeState } from '../../src/work/progress/commit-state';
import { gates, group, jobs, loose, workQueue, topic, type Job } from '../support/work-queue';

const never = new Promise<void>(() => undefined);
const numbers = (count: number) => Array.from({ length: count }, (_, n) => ({ n }));

/** Two records for each partition. */
const everywhere = (from: number) =>
  numbers(24).map(({ n }) => ({
    partition: n % topic.partitions,
    key: null,
    value: Buffer.from([0x81, 0xa1, 0x6e, from + n]), // {n}
    headers: {},
  }));

test('a message whose process is killed in the handler is retried elsewhere as attempt 2', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = jobs();
  await r.sender(a).send(resize, numbers(3));
  await r.take(a, resize, ({ n }) => (n === 1 ? never : undefined));
  await r.clock.advance(1_000); // long enough for a commit that states the running messages
  a.crash();
  const seen: [number, number][] = [];
  await r.take(b, resize, ({ n }, { attempt }) => void seen.push([n, attempt]));
  await r.clock.advance(1_000);
  expect(seen).toEqual([[1, 2]]);
  expect((await r.progress(b)).committed).toBe(3);
});

test('a settled message is repeated after a crash only if it was not committed', async () => {
  for (const [afterMs, again] of [
    [10, true],
    [30, false],
  ] as const) {
    const r = workQueue();
    const [a, b] = [r.process('a'), r.process('b')];
    const { resize } = jobs();
    await r.sender(a).send(resize, numbers(1));
    let handled = 0;
    await r.take(a, resize, () => void handled++);
    await r.clock.advance(afterMs); // an idle partition commits after 20 ms
    a.crash();
    await r.take(b, resize, () => void handled++);
    await r.clock.advance(1_000);
    expect(handled).toBe(again ? 2 : 1);
  }
});

test('another instance does not repeat messages settled above an unsettled one', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = loose();
  await r.sender(a).send(resize, numbers(300));
  const stuck = new Set([0, 5, 17, 60, 200]);
  await r.take(a, resize, ({ n }) => (stuck.has(n) ? never : undefined));
  await r.clock.advance(1_000);
  a.crash();
  const again: number[] = [];
  await r.take(b, resize, ({ n }) => void again.push(n));
  await r.clock.advance(1_000);
  expect(again.toSorted((x, y) => x - y)).toEqual([...stuck]);
  expect((await r.progress(b)).committed).toBe(300);
});

test('a message that kills its process each time is parked after its last attempt', async () => {
  const r = workQueue();
  const { resize } = jobs({ attempts: 5 });
  await r.sender(r.process('web')).send(resize, numbers(1));
  const attempts: number[] = [];
  for (let life = 0; life < 8; life++) {
    const p = r.process(`p${life}`);
    await r.take(p, resize, (_job, { attempt }) => {
      attempts.push(attempt);
      return never;
    });
    await r.clock.advance(1_000);
    p.crash();
    await r.clock.advance(1_000);
  }
  expect(attempts).toEqual([1, 2, 3, 4, 5]);
  const [record] = await r.parkedNow(r.process('reader'));
  expect(record?.note).toMatchObject({
    attemptCount: 5,
    reason: expect.stringContaining('attempt 5 of 5 did not end'),
  });
});

test('attempts that failed before a takeover count after it', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = jobs({ attempts: 3, backoffMs: 10_000 });
  await r.sender(a).send(resize, numbers(1));
  const attempts: string[] = [];
  const run =
    (who: string) =>
    (_job: Job, { attempt }: { attempt: number }) => {
      attempts.push(`${who}${attempt}`);
      throw new Error('no');
    };
  await r.take(a, resize, run('a'));
  await r.clock.advance(1_000);
  a.crash();
  await r.take(b, resize, run('b'));
  await r.clock.advance(60_000);
  expect(attempts).toEqual(['a1', 'b2', 'b3']);
  expect(await r.parkedNow(b)).toHaveLength(1);
});

test('a joining member gets its partitions after their running handlers end and commit', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = loose();
  const { wait, open } = gates();
  const seen: string[] = [];
  await r.append(a, ...everywhere(0));
  const first = await r.take(a, resize, async ({ n }) => {
    await wait('a');
    seen.push(`a${n}`);
  });
  await r.clock.advance(100);
  const second = await r.take(b, resize, ({ n }) => void seen.push(`b${n}`));
  await r.clock.advance(5_000);
  expect(second.stats().partitions).toEqual([]);
  open('a');
  await r.clock.advance(1_000);
  expect(first.stats().partitions).toHaveLength(6);
  expect(second.stats().partitions).toHaveLength(6);
  expect(seen).toHaveLength(24);
  expect(new Set(seen.map((name) => name.slice(1))).size).toBe(24);
  await r.append(a, ...everywhere(24));
  await r.clock.advance(1_000);
  expect(seen).toHaveLength(48);
  expect(seen.some((name) => name.startsWith('b'))).toBe(true);
});

test('a handler that exceeds handoverMs is aborted, retried elsewhere, and its result ignored', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = jobs({ handoverMs: 2_000 });
  const { wait, open } = gates();
  await r.sender(a).send(resize, numbers(1));
  let signal: AbortSignal | undefined;
  const first = await r.take(a, resize, async (_job, context) => {
    signal = context.signal;
    await wait('a');
  });
  await r.clock.advance(1_000);
  const seen: number[] = [];
  const closing = first.close();
  await r.take(b, resize, async (_job, { attempt }) => {
    seen.push(attempt);
    await wait('b');
  });
  await r.clock.advance(1_900);
  expect([signal?.aborted, seen]).toEqual([false, []]);
  await r.clock.advance(200);
  await closing;
  expect(signal?.reason).toBeInstanceOf(PartitionLostError);
  expect(seen).toEqual([2]);
  open('a');
  await r.clock.advance(1_000);
  expect((await r.progress(b)).committed).toBe(0);
  expect(first.stats().handled).toBe(0);
  open('b');
  await r.clock.advance(1_000);
  expect((await r.progress(b)).committed).toBe(1);
});

test('close waits for running handlers, starts no new ones, and commits', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  const { wait, open } = gates();
  await r.sender(a).send(resize, [
    { n: 1, key: 'k' },
    { n: 2, key: 'k' },
  ]);
  const seen: number[] = [];
  const queue = await r.take(a, resize, async ({ n }) => {
    await wait('a');
    seen.push(n);
  });
  await r.clock.advance(10);
  const closing = queue.close();
  await r.clock.advance(10);
  open('a');
  await closing;
  expect(seen).toEqual([1]);
  expect((await r.progress(a)).committed).toBe(1);
  expect(r.of('partition').filter(({ change }) => change === 'given')).toHaveLength(topic.partitions);
});

test('after losing a partition the old owner aborts its handlers and acts no more', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = jobs({ attempts: 2 });
  const { wait, open } = gates();
  await r.sender(a).send(
    resize,
    numbers(4).map(({ n }) => ({ n, key: 'k' })),
  );
  const seen: string[] = [];
  const signals: AbortSignal[] = [];
  const old = await r.take(a, resize, async ({ n }, { signal, park }) => {
    seen.push(`a${n}`);
    signals.push(signal);
    await wait('a');
    park('late');
  });
  await r.clock.advance(10);
  await r.take(b, resize, ({ n }) => void seen.push(`b${n}`));
  a.freeze();
  await r.clock.advance(60_000); // beyond the session
  a.thaw();
  open('a');
  await r.clock.advance(30_000);
  expect(seen).toEqual(['a0', 'b0', 'b1', 'b2', 'b3']);
  expect(signals[0]?.reason).toBeInstanceOf(PartitionLostError);
  expect(r.of('partition')).toContainEqual(expect.objectContaining({ change: 'lost', reason: expect.any(String) }));
  expect(await r.parkedNow(b)).toEqual([]);
  expect((await r.progress(b)).committed).toBe(4);
  expect(old.stats()).toMatchObject({ handled: 0, parked: 0, inBackoff: 0, running: [] });
});

test('a process that was stopped past its session starts no message', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = jobs();
  const { wait, open } = gates();
  const sends = numbers(3).map(({ n }) => ({ n, key: 'k' }));
  await r.sender(a).send(resize, sends);
  const seen: string[] = [];
  await r.take(a, resize, async ({ n }) => {
    seen.push(`a${n}`);
    await wait('a');
  });
  await r.clock.advance(10);
  await r.take(b, resize, ({ n }) => void seen.push(`b${n}`));
  a.freeze();
  await r.clock.advance(60_000); // beyond the session
  open('a'); // the first event that it receives
  await promisesRunOut();
  a.thaw();
  await r.clock.advance(30_000);
  expect(seen).toEqual(['a0', 'b0', 'b1', 'b2']);
});

test('a commit that the log fences is reported as a lost partition', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  await r.sender(a).send(resize, numbers(2));
  r.world.faults = ({ call, n }) =>
    call === 'commit' && n === 1 ? { error: new PartitionLostError(group, 0, 'fenced'), done: false } : undefined;
  await r.take(a, resize, () => undefined);
  await r.clock.advance(100);
  expect(r.of('partition').filter(({ change }) => change === 'lost')).toHaveLength(1);
});

test('a failed commit is retried, and reported when it keeps failing', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  await r.sender(a).send(resize, numbers(1));
  r.world.faults = ({ call, n }) =>
    call === 'commit' && n <= 8
      ? { error: new BusError('Unreachable', 'no answer', { outcome: 'not-sent', waitedMs: 1 }), done: false }
      : undefined;
  await r.take(a, resize, () => undefined);
  await r.clock.advance(1_900);
  expect(r.of('state')).toEqual([]);
  await r.clock.advance(60_000);
  expect(r.of('state')).toMatchObject([{ ok: false, reason: expect.stringContaining('no answer') }, { ok: true }]);
  expect((await r.progress(a)).committed).toBe(1);
});

test('an unanswered commit is reported after two seconds, and its later success as well', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  await r.sender(a).send(resize, numbers(1));
  r.world.faults = ({ call, n }) => (call === 'commit' && n === 1 ? { delayMs: 60_000 } : undefined);
  await r.take(a, resize, () => undefined);
  await r.clock.advance(1_900);
  expect(r.of('state')).toEqual([]);
  await r.clock.advance(200);
  expect(r.of('state')).toMatchObject([{ ok: false, reason: expect.stringContaining('not responded') }]);
  await r.clock.advance(60_000);
  expect(r.of('state').slice(1)).toMatchObject([{ ok: true }]);
  expect((await r.progress(a)).committed).toBe(1);
});

test('losing a partition ends the reported failure of its commits', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  await r.sender(a).send(resize, numbers(1));
  let error: Error = new BusError('Unreachable', 'no answer', { outcome: 'not-sent', waitedMs: 1 });
  r.world.faults = ({ call }) => (call === 'commit' ? { error, done: false } : undefined);
  await r.take(a, resize, () => undefined);
  await r.clock.advance(10_000);
  error = new PartitionLostError(group, 0, 'fenced');
  await r.clock.advance(10_000);
  expect(r.of('state')).toMatchObject([{ ok: false }, { ok: true }]);
});

test('a queue on a store that rejects every write closes without waiting', async () => {
  const cause = 'data.mdb was removed';
  const error = new BusError('StoreBroken', cause, { outcome: 'not-sent', path: '/bus/log', cause });
  for (const refusesFirst of [true, false]) {
    const r = workQueue();
    const a = r.process('a');
    const { resize } = jobs();
    await r.sender(a).send(resize, numbers(2));
    const handled: number[] = [];
    const refuse = (): void => {
      r.world.faults = ({ call }) => (call === 'commit' ? { error, done: false } : undefined);
    };
    if (refusesFirst) refuse(); // the first start is then not recorded, so its handler does not run
    const queue = await r.take(a, resize, ({ n }) => void handled.push(n));
    await r.clock.advance(5_000);
    refuse();
    if (!refusesFirst) await r.sender(a).send(resize, numbers(1));
    await r.clock.advance(1_000);
    expect(handled).toHaveLength(refusesFirst ? 0 : 3);
    const startMs = r.clock.now();
    let closedMs = Infinity;
    void queue.close().then(() => (closedMs = r.clock.now() - startMs));
    await r.clock.advance(20_000);
    expect(closedMs).toBeLessThan(100);
    expect(handled).toHaveLength(refusesFirst ? 0 : 3);
  }
});

test('a partition lost while a first start is committed frees its concurrency slot', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  await r.sender(a).send(resize, numbers(4));
  let commits = 0;
  r.world.faults = ({ call }) => {
    if (call !== 'commit' || commits++ > 0) return undefined;
    a.expire();
    return { error: new BusError('Unreachable', 'no answer', { outcome: 'not-sent', waitedMs: 1 }), done: false };
  };
  const seen: number[] = [];
  const queue = await r.take(a, resize, ({ n }) => void seen.push(n), { limits: () => ({ concurrency: 1 }) });
  await r.clock.advance(60_000);
  expect(seen.toSorted((x, y) => x - y)).toEqual([0, 1, 2, 3]);
  expect(queue.stats()).toMatchObject({ waiting: 0, running: [], handled: 4 });
});

test('a busy partition commits every commitMs, and 20 ms after it becomes idle', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  await r.sender(a).send(
    resize,
    numbers(200).map(({ n }) => ({ n, key: 'k' })),
  );
  const startMs = r.clock.now();
  const commits: number[] = [];
  r.world.faults = ({ call }) => void (call === 'commit' && commits.push(r.clock.now() - startMs));
  await r.take(a, resize, () => new Promise<void>((resolve) => void r.clock.after(10, resolve)));
  await r.clock.advance(5_000);
  expect(commits).toEqual([0, 510, 1_010, 1_510, 2_010]); // the first commit states the running messages
});

test('single messages are committed within 20 ms of each, a burst together', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  const sender = r.sender(a);
  const commits: number[] = [];
  const startMs = r.clock.now();
  r.world.faults = ({ call }) => void (call === 'commit' && commits.push(r.clock.now() - startMs));
  await r.take(a, resize, () => undefined);
  for (let n = 0; n < 8; n++) {
    await sender.send(resize, [{ n, key: 'k' }]);
    await r.clock.advance(n < 4 ? 100 : 5);
  }
  await r.clock.advance(1_000);
  expect(commits).toEqual([0, 20, 120, 220, 320, 435]); // the first commit states the running messages
});

test('records stored twice in the log are handled once, also after a takeover', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = jobs();
  const sender = r.sender(a, '0123456789abcdef');
  const seen: number[] = [];
  r.world.faults = ({ process, call, topic: to }) =>
    process === 'a' && call === 'append' && to === topic.name ? 'double' : undefined;
  await r.take(a, resize, ({ n }) => void seen.push(n));
  await sender.send(resize, [
    { n: 1, key: 'k' },
    { n: 2, key: 'k' },
  ]);
  await r.clock.advance(1_000);
  expect(seen).toEqual([1, 2]);
  expect(r.of('dropped').map(({ reason }) => reason)).toEqual(['repeated', 'repeated']);
  a.crash();
  await r.take(b, resize, ({ n }) => void seen.push(n));
  await r.clock.advance(1_000);
  await r.sender(b, '0123456789abcdef').send(resize, [{ n: 2, key: 'k' }]); // positions start at 1 again, so this is a resend
  await r.sender(b).send(resize, [{ n: 3, key: 'k' }]);
  await r.clock.advance(1_000);
  expect(seen).toEqual([1, 2, 3]);
  expect((await r.progress(b)).committed).toBe(6);
});

test('a duplicate dropped above an unsettled message stays dropped after a takeover', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = loose();
  const stamped = (n: number, position: number) => ({
    partition: 0,
    key: null,
    value: Buffer.from([0x81, 0xa1, 0x6e, n]), // {n}
    headers: { bus: `1 work photos.resize id-${n} web#1 0123456789abcdef:${position}` },
  });
  await r.append(a, stamped(0, 1), stamped(1, 2), stamped(1, 2), stamped(2, 3));
  await r.take(a, resize, ({ n }) => (n === 1 ? undefined : never));
  await r.clock.advance(1_000);
  a.crash();
  const seen: number[] = [];
  await r.take(b, resize, ({ n }) => void seen.push(n));
  await r.clock.advance(1_000);
  expect(seen).toEqual([0, 2]);
});

test('a message whose partition is lost during its asynchronous schema check does not start', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { wait, open } = gates();
  const slow: Schema<Job> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value) => wait('schema').then(() => ({ value: value as Job })), // only jobs are sent here
    },
  };
  await r.sender(a).send(jobs().resize, numbers(1));
  const seen: number[] = [];
  await r.take(a, jobs({}, slow).resize, ({ n }) => void seen.push(n));
  await r.clock.advance(10);
  a.expire();
  await r.clock.advance(0);
  open('schema');
  await promisesRunOut();
  expect(r.of('partition').filter(({ change }) => change === 'lost')).toHaveLength(topic.partitions);
  await r.clock.advance(1_000);
  expect(seen).toEqual([0]); // once, after the partition came back
  expect(r.of('handled').map(({ outcome }) => outcome)).toEqual(['failed', 'done']);
});

test('a partition whose signal alone reports its loss is released immediately', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  const losses: AbortController[] = [];
  const losing = (owned: OwnedPartition): OwnedPartition => {
    const lost = new AbortController();
    losses.push(lost);
    return { ...owned, lost: lost.signal };
  };
  const log: typeof a.log = {
    ...a.log,
    join: (name, of, owner, options) =>
      a.log.join(name, of, { ...owner, onAssigned: (owned) => owner.onAssigned(losing(owned)) }, options),
  };
  await r.sender(a).send(
    resize,
    numbers(4).map(({ n }) => ({ n, key: 'k' })),
  );
  const { wait, open } = gates();
  const seen: number[] = [];
  const queue = await r.take(a, resize, ({ n }) => (seen.push(n), wait('all')), {}, { log });
  await r.clock.advance(10);
  for (const lost of losses) lost.abort();
  expect(queue.stats()).toMatchObject({ waiting: 0, partitions: [] });
  open('all');
  await r.clock.advance(1_000);
  expect(seen).toEqual([0]);
  expect((await r.progress(a)).committed).toBe(0);
  expect(r.of('partition').filter(({ change }) => change === 'lost')).toHaveLength(topic.partitions);
});

test('messages that were read but not settled before a takeover are no duplicates', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = jobs();
  const sends = numbers(5).map(({ n }) => ({ n, key: 'k' }));
  const sender = r.sender(a);
  await sender.send(resize, sends.slice(0, 3));
  await r.take(a, resize, () => never);
  await r.clock.advance(1_000);
  a.crash();
  const seen: number[] = [];
  await r.sender(b).send(resize, sends.slice(3));
  await r.take(b, resize, ({ n }) => void seen.push(n));
  await r.clock.advance(1_000);
  expect(seen).toEqual([0, 1, 2, 3, 4]);
});

test('an unreadable commit state is logged as an error, and reading starts at the offset', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = jobs();
  await r.sender(a).send(
    resize,
    numbers(3).map(({ n }) => ({ n, key: 'k' })),
  );
  const { partition } = (await a.log.bounds(topic.name)).find(({ end }) => end > 0) ?? { partition: -1 };
  const newer = encodeState(2, { seen: 2, ranges: [], tried: [], senders: [] }, 100);
  newer[0] = 9;
  const member = await a.log.join(group, topic.name, {
    onAssigned: (owned) => void (owned.partition === partition && owned.commit({ offset: 2, state: newer })),
    onRevoked: () => Promise.resolve(),
  });
  await r.clock.advance(10);
  await member.close();
  const seen: number[] = [];
  await r.take(b, resize, ({ n }) => void seen.push(n));
  await r.clock.advance(1_000);
  expect(seen).toEqual([2]);
  expect(r.of('log')).toMatchObject([
    { level: 'error', fields: { partition, reason: expect.stringContaining('version 9') } },
  ]);
  expect(r.of('state')).toEqual([]); // it is not a lasting failure
});
