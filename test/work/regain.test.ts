/**
 * A process that loses its partitions and regains them: finished messages are not repeated, running ones not doubled.
 */
import { BusError } from '../../src/base/errors';
import { partitionOf } from '../../src/format/partition';
import type { MemoryProcess } from '../../src/memory/world';
import { PartitionLostError, type Log, type OwnedPartition } from '../../src/ports/log';
import { RetainedPartitions } from '../../src/work/progress/retained';
import { emptyState, encodeState } from '../../src/work/progress/commit-state';
import { gates, group, jobs, parked, workQueue, topic } from '../support/work-queue';

const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, n) => ({ n: from + n }));
/** Jobs of one key, which are in one partition and run in order. */
const keyed = (count: number, from = 0) => numbers(count, from).map(({ n }) => ({ n, key: 'k' }));
/** Keys that are separate lanes of one partition. */
const partition = 3;
const keysThere = Array.from({ length: 2_000 }, (_, n) => `${n}`).filter(
  (key) => partitionOf(Buffer.from(key), topic.partitions) === partition,
);
const together = (count: number, from = 0) => numbers(count, from).map(({ n }) => ({ n, key: keysThere[n]! }));
const unreachable = () => new BusError('Unreachable', 'the coordinator is away', { outcome: 'not-sent', waitedMs: 1 });
const later = (r: ReturnType<typeof workQueue>, ms: number) => new Promise<void>((go) => void r.clock.after(ms, go));

/** A handled and committed job in each partition, because the first start in a partition waits for a commit. */
const everywhere = Array.from({ length: topic.partitions }, (_, one) => {
  const key = Array.from({ length: 2_000 }, (_, n) => `w${n}`).find(
    (name) => partitionOf(Buffer.from(name), topic.partitions) === one,
  )!;
  return { n: -1 - one, key };
});
async function warmUp(r: ReturnType<typeof workQueue>, seen: unknown[] = []): Promise<void> {
  await r.sender(r.process('warm')).send(jobs().resize, everywhere);
  await r.clock.advance(1_000);
  seen.length = 0;
}

/** Rejects all commits of `process` until the returned function is called. */
function noCommits(r: ReturnType<typeof workQueue>, process = 'a'): () => void {
  r.world.faults = (one) =>
    one.process === process && one.call === 'commit' ? { error: unreachable(), done: false } : undefined;
  return () => (r.world.faults = undefined);
}

test('a process does not repeat finished messages after it loses and regains their partitions', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  const seen: number[] = [];
  const sender = r.sender(r.process('web'));
  await r.take(a, resize, ({ n }) => void seen.push(n));
  await sender.send(resize, numbers(30));
  await r.clock.advance(1_000);
  const allow = noCommits(r);
  await sender.send(resize, numbers(30, 30));
  await r.clock.advance(1_500);
  a.expire();
  await r.clock.advance(1_000);
  a.expire(); // a second time, before any of it was committed
  allow();
  await sender.send(resize, numbers(30, 60));
  await r.clock.advance(10_000);
  expect(seen.toSorted((x, y) => x - y)).toEqual(numbers(90).map(({ n }) => n));
  expect(await r.progress(a)).toEqual({ committed: 90, end: 90 });
  expect(r.of('partition').filter(({ change }) => change === 'lost')).toHaveLength(2 * topic.partitions);
});

test('a regained partition keeps settled messages above unsettled ones, and failed attempts', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs({ attempts: 3, backoffMs: 5_000 });
  const seen: string[] = [];
  await r.take(a, resize, ({ n }, { attempt }) => {
    seen.push(`${n}: ${attempt}`);
    if (n >= 0 && n % 3 === 0) throw new Error('no');
  });
  await warmUp(r, seen);
  const allow = noCommits(r);
  await r.sender(r.process('web')).send(resize, together(6));
  await r.clock.advance(1_000);
  expect(seen).toHaveLength(6);
  a.expire();
  allow();
  await r.clock.advance(60_000);
  const tries = ['0: 1', '0: 2', '0: 3', '1: 1', '2: 1', '3: 1', '3: 2', '3: 3', '4: 1', '5: 1'];
  expect(seen.toSorted()).toEqual(tries);
  expect((await r.parkedNow(a)).map(({ note }) => note.attemptCount)).toEqual([3, 3]);
});

test('a handler still running when its partition is regained is not doubled', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  const { wait, open } = gates();
  const seen: string[] = [];
  await r.sender(r.process('web')).send(resize, together(3));
  await r.take(a, resize, async ({ n }, { attempt }) => {
    seen.push(`${n}: ${attempt}`);
    if (n === 1) await wait('1');
  });
  await r.clock.advance(1_000);
  a.expire();
  await r.clock.advance(5_000);
  expect(seen).toEqual(['0: 1', '1: 1', '2: 1']);
  a.expire();
  await r.clock.advance(5_000);
  open('1');
  await r.clock.advance(5_000);
  expect(seen).toEqual(['0: 1', '1: 1', '2: 1']);
  expect((await r.progress(a)).committed).toBe(3);
});

test('a handler that ends while its partition is elsewhere is not repeated', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = jobs();
  const { wait, open } = gates();
  const seen: string[] = [];
  await r.sender(r.process('web')).send(resize, together(3));
  await r.take(a, resize, async ({ n }) => {
    seen.push(`a${n}`);
    if (n === 1) await wait('1');
  });
  await r.clock.advance(1_000);
  a.freeze();
  // Another member owns all partitions meanwhile and handles nothing.
  const other = await b.log.join(group, topic.name, {
    onAssigned: () => undefined,
    onRevoked: () => Promise.resolve(),
  });
  await r.clock.advance(15_000);
  a.thaw();
  await r.clock.advance(10);
  open('1');
  await r.clock.advance(10);
  await other.close();
  await r.clock.advance(5_000);
  expect(seen).toEqual(['a0', 'a1', 'a2']);
  expect((await r.progress(a)).committed).toBe(3);
});

test('no message of a key starts while a handler from before the loss runs', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs({ retry: 'aside', attempts: 5, backoffMs: 1_000 });
  const { wait, open } = gates();
  const seen: string[] = [];
  await r.sender(r.process('web')).send(resize, keyed(3));
  await r.take(a, resize, async ({ n }, { attempt }) => {
    seen.push(`${n}: ${attempt}`);
    if (n === 0 && attempt === 1) throw new Error('aside');
    if (n === 1) await wait('1');
  });
  await r.clock.advance(100);
  a.expire();
  await r.clock.advance(10_000);
  expect(seen).toEqual(['0: 1', '1: 1']);
  open('1');
  await r.clock.advance(10_000);
  expect(seen).toEqual(['0: 1', '1: 1', '0: 2', '2: 1']);
});

test('a handler aborted by a partition loss restarts once, after it has ended', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  const seen: string[] = [];
  let running = 0;
  await r.sender(r.process('web')).send(resize, keyed(2));
  await r.take(a, resize, async ({ n }, { attempt, signal }) => {
    seen.push(`${n}: ${attempt}, ${++running} at once`);
    try {
      if (attempt > 1 || n > 0) return;
      await new Promise((_, reject) => signal.addEventListener('abort', () => void later(r, 700).then(reject)));
    } finally {
      running--;
    }
  });
  await r.clock.advance(100);
  a.expire();
  await r.clock.advance(10_000);
  expect(seen).toEqual(['0: 1, 1 at once', '0: 2, 1 at once', '1: 1, 1 at once']);
});

test('a message whose parking is acknowledged after the loss is neither repeated nor parked again', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  const seen: number[] = [];
  await r.sender(r.process('web')).send(resize, keyed(2));
  r.world.faults = ({ call, topic: to }) => (call === 'append' && to === parked.name ? { delayMs: 2_000 } : undefined);
  await r.take(a, resize, ({ n }, { park }) => {
    seen.push(n);
    if (n === 0) park('a reason');
  });
  await r.clock.advance(1_000);
  a.expire();
  await r.clock.advance(10_000);
  expect(seen).toEqual([0, 1]);
  expect(await r.parkedNow(a)).toHaveLength(1);
  expect(r.of('parked')).toHaveLength(1);
});

test('a queue that closes without a commit and is opened again repeats nothing', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs({ handoverMs: 1_000 });
  const { wait, open } = gates();
  const seen: number[] = [];
  const run = async ({ n }: { n: number }): Promise<void> => {
    seen.push(n);
    if (n === 2) await wait('2');
  };
  const retained = new RetainedPartitions();
  const first = await r.take(a, resize, run, {}, { retained });
  await warmUp(r, seen);
  const allow = noCommits(r);
  await r.sender(r.process('web')).send(resize, together(3));
  await r.clock.advance(1_000);
  const closing = first.close(); // waits for the handler, then for a commit, and gives up on both
  await r.clock.advance(30_000);
  await closing;
  allow();
  await r.take(a, resize, run, {}, { retained });
  await r.clock.advance(1_000);
  expect(seen).toEqual([0, 1, 2]);
  open('2');
  await r.clock.advance(1_000);
  expect(seen).toEqual([0, 1, 2]);
  expect(await r.progress(a)).toEqual({ committed: 15, end: 15 });
});

test('messages that another process settled meanwhile are not repeated', async () => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = jobs();
  const seen: string[] = [];
  const sender = r.sender(r.process('web'));
  await r.take(a, resize, ({ n }) => void seen.push(`a${n}`));
  await warmUp(r, seen);
  const allow = noCommits(r);
  await sender.send(resize, together(4));
  await r.clock.advance(1_000);
  a.freeze(); // with 4 finished jobs that are not committed
  await r.take(b, resize, ({ n }) => {
    seen.push(`b${n}`);
    return n === 1 || n === 3 ? new Promise(() => undefined) : undefined;
  });
  await r.clock.advance(15_000);
  await sender.send(resize, together(2, 4));
  await r.clock.advance(2_000);
  b.crash(); // it has settled 0, 2, 4 and 5
  allow();
  a.thaw();
  await sender.send(resize, together(1, 6));
  await r.clock.advance(20_000);
  expect(seen.toSorted()).toEqual(['a0', 'a1', 'a2', 'a3', 'a6', 'b0', 'b1', 'b2', 'b3', 'b4', 'b5']);
  expect(await r.progress(a)).toEqual({ committed: 19, end: 19 });
});

test.each([
  ['set by a tool', new Uint8Array()],
  // The topic was deleted and recreated, and another process has worked on it.
  ['committed for another log of the same name', encodeState(4, emptyState(4), 1_000)],
])('an offset that is %s overrides the remembered progress', async (_, state) => {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  const { resize } = jobs();
  const seen: number[] = [];
  await r.sender(r.process('web')).send(resize, keyed(6));
  await r.take(a, resize, ({ n }) => void seen.push(n));
  await r.clock.advance(1_000);
  const { partition: at } = (await a.log.bounds(topic.name)).find(({ end }) => end > 0)!;
  a.freeze();
  const tool = await b.log.join(group, topic.name, {
    onAssigned: (owned) => void (owned.partition === at && owned.commit({ offset: 4, state })),
    onRevoked: () => Promise.resolve(),
  });
  await r.clock.advance(15_000);
  await tool.close();
  a.thaw();
  await r.clock.advance(10_000);
  expect(seen).toEqual([0, 1, 2, 3, 4, 5, 4, 5]);
});

test('progress is kept after many commits that failed', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs({ attempts: 5, backoffMs: 1_000_000 });
  const seen: string[] = [];
  await r.take(a, resize, ({ n }, { attempt }) => {
    seen.push(`${n}: ${attempt}`);
    if (n === 1) throw new Error('no');
  });
  await warmUp(r, seen);
  const allow = noCommits(r);
  await r.sender(r.process('web')).send(resize, together(3));
  await r.clock.advance(120_000); // a commit each 5 s
  a.expire();
  allow();
  await r.clock.advance(100_000);
  expect(seen.toSorted()).toEqual(['0: 1', '1: 1', '1: 2', '2: 1']);
});

test('a record that is resent after a partition loss is dropped as a duplicate', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  const seen: number[] = [];
  await r.take(a, resize, ({ n }) => void seen.push(n));
  await warmUp(r, seen);
  const allow = noCommits(r);
  await r.sender(a, '0123456789abcdef').send(resize, keyed(2));
  await r.clock.advance(1_000);
  a.expire();
  allow();
  await r.clock.advance(1_000);
  await r.sender(a, '0123456789abcdef').send(resize, keyed(2)); // a resend, since its positions are the same
  await r.clock.advance(10_000);
  expect(seen).toEqual([0, 1]);
  expect(r.of('dropped').map(({ reason }) => reason)).toEqual(['repeated', 'repeated']);
});

describe('a process that cannot commit', () => {
  const states = (r: ReturnType<typeof workQueue>) =>
    r.of('state').map(({ part, ok, reason }) => ({ part, ok, reason }));

  test('stops starting messages 2 s after a due commit, until commits are accepted', async () => {
    const r = workQueue();
    const a = r.process('a');
    const { resize } = jobs();
    const seen: number[] = [];
    const sender = r.sender(r.process('web'));
    await r.take(a, resize, ({ n }) => void seen.push(n));
    await sender.send(resize, numbers(24));
    await r.clock.advance(1_000);
    const allow = noCommits(r);
    const beganMs = r.clock.now();
    for (let n = 24; n < 24 + 100; n++) {
      await sender.send(resize, [{ n }]);
      await r.clock.advance(100);
    }
    const stoppedAt = seen.length;
    expect(stoppedAt).toBeLessThan(24 + 45); // each partition stops 2.5 s after its first message without a commit
    expect(r.clock.now() - beganMs).toBe(10_000);
    expect(states(r)).toEqual([
      {
        part: 'commits in photos.work',
        ok: false,
        reason: expect.stringMatching(/no commit has succeeded for \d+ ms.*no message is started.*is away/),
      },
    ]);
    allow();
    await r.clock.advance(10_000);
    expect(seen.toSorted((x, y) => x - y)).toEqual(numbers(124).map(({ n }) => n));
    expect(states(r).slice(1)).toEqual([{ part: 'commits in photos.work', ok: true, reason: expect.any(String) }]);
  });

  test('stops at 5,000 uncommitted messages of a partition', async () => {
    const r = workQueue();
    const a = r.process('a');
    const { resize } = jobs();
    let seen = 0;
    const sender = r.sender(r.process('web'));
    await r.take(a, resize, ({ n }) => void (n >= 0 && seen++));
    await warmUp(r);
    const allow = noCommits(r);
    await sender.send(resize, keyed(6_000));
    await r.clock.advance(1_000);
    expect(seen).toBe(5_000);
    allow();
    await r.clock.advance(10_000);
    expect(seen).toBe(6_000);
  });

  test('commits early when many messages settle within commitMs', async () => {
    const r = workQueue();
    const a = r.process('a');
    const { resize } = jobs();
    let seen = 0;
    await r.sender(r.process('web')).send(resize, keyed(6_000));
    const startMs = r.clock.now();
    await r.take(a, resize, () => void (++seen === 6_000 && (endMs = r.clock.now())));
    let endMs = 0;
    await r.clock.advance(10_000);
    expect(seen).toBe(6_000);
    expect(endMs - startMs).toBeLessThan(100);
  });
});

/**
 * The log of a process whose ownership ends inside `check`, at the first check after its first commit: a process that
 * stalled finds out there that its session is over, before any timer fires.
 */
function fencedAfterFirstCommit(process: MemoryProcess): { readonly log: Log; readonly fences: () => number } {
  let fences = 0;
  const wrap = (owned: OwnedPartition): OwnedPartition => {
    const lost = new AbortController();
    let isOver = false;
    owned.lost.addEventListener('abort', () => lost.abort(owned.lost.reason));
    return {
      partition: owned.partition,
      epoch: owned.epoch,
      committed: owned.committed,
      lost: lost.signal,
      read: (...given) => owned.read(...given),
      cannotServe: (...given) => owned.cannotServe(...given),
      async commit(commit) {
        await owned.commit(commit);
        isOver = fences === 0;
      },
      check() {
        if (isOver && fences++ === 0) {
          lost.abort(new PartitionLostError(group, owned.partition, 'its session is over'));
          process.expire();
        }
        lost.signal.throwIfAborted();
        owned.check();
      },
    };
  };
  const log: Log = {
    ...process.log,
    join: (name, on, owner, options) =>
      process.log.join(name, on, { ...owner, onAssigned: (owned) => owner.onAssigned(wrap(owned)) }, options),
  };
  return { log, fences: () => fences };
}

test('a message whose ownership ends as its first commit is acknowledged does not block its key', async () => {
  const r = workQueue();
  const a = r.process('a');
  const { log, fences } = fencedAfterFirstCommit(a);
  const { resize } = jobs();
  const seen: number[] = [];
  await r.take(a, resize, ({ n }) => void seen.push(n), {}, { log });
  const sender = r.sender(r.process('web'));
  await sender.send(resize, keyed(1));
  await r.clock.advance(10_000);
  expect(fences()).toBeGreaterThan(0);
  await sender.send(resize, keyed(10, 1));
  await r.clock.advance(10_000);
  expect(seen).toEqual(numbers(11).map(({ n }) => n));
});
