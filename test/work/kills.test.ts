/** Messages that crash their process: each is detected and parked, and no other message is parked with it. */
import { NotStarted } from '../../src/base/lifecycle';
import type { MemoryProcess } from '../../src/memory';
import { heavy } from '../heavy';
import { jobs, workQueue, type RunJob } from '../support/work-queue';

const never = new Promise<void>(() => undefined);
const numbers = (count: number) => Array.from({ length: count }, (_, n) => ({ n }));
const keyed = (count: number) => numbers(count).map(({ n }) => ({ n, key: 'k' }));

/** Starts one process after the other until one survives. Returns how many crashed. */
async function lives(r: ReturnType<typeof workQueue>, max: number, take: (p: MemoryProcess) => Promise<unknown>) {
  for (let life = 0; life < max; life++) {
    const p = r.process(`p${life}`);
    await take(p);
    await r.clock.advance(60_000);
    if (p.state !== 'crashed') return life;
  }
  return max;
}
/** A handler in a crashed process never ends. */
const end = (p: MemoryProcess) => (p.crash(), never);
const after = (p: MemoryProcess, ms: number) => new Promise<void>((go) => void p.clock.after(ms, go));

test('a message that crashes its process is counted each time, and parked after its attempts', async () => {
  const r = workQueue();
  const { resize } = jobs({ attempts: 5 });
  await r.sender(r.process('web')).send(resize, keyed(2));
  const seen: string[] = [];
  const died = await lives(r, 10, (p) =>
    r.take(p, resize, ({ n }, { attempt }) => {
      seen.push(`${n}: ${attempt}`);
      return n === 0 ? end(p) : undefined;
    }),
  );
  expect(seen).toEqual(['0: 1', '0: 2', '0: 3', '0: 4', '0: 5', '1: 1']);
  expect(died).toBe(5);
  expect(await r.parkedNow(r.process('reader'))).toHaveLength(1);
});

heavy('a crashing message behind many fast ones is uncounted once, and counted from then on', async () => {
  const r = workQueue();
  const { resize } = jobs({ attempts: 5 });
  await r.sender(r.process('web')).send(resize, keyed(300));
  const attempts: number[] = [];
  const died = await lives(r, 20, (p) =>
    r.take(p, resize, async ({ n }, { attempt }) => {
      if (n === 299) {
        attempts.push(attempt);
        await end(p);
      }
      await after(p, 1);
    }),
  );
  expect([attempts, died]).toEqual([[1, 1, 2, 3, 4, 5], 6]);
  expect(await r.parkedNow(r.process('reader'))).toHaveLength(1);
});

test.each([
  [5, 5],
  [3, 3],
  [2, 2],
])('with %i attempts a crashing message is parked after %i, and its neighbors are handled', async (attempts, kills) => {
  const r = workQueue();
  const { resize } = jobs({ attempts });
  await r.sender(r.process('web')).send(resize, numbers(8));
  const done = new Set<number>();
  const run =
    (p: MemoryProcess): RunJob =>
    async ({ n }) => {
      await after(p, n === 3 ? 1_000 : 5_000);
      if (n === 3) await end(p);
      done.add(n);
    };
  expect(await lives(r, 12, (p) => r.take(p, resize, run(p)))).toBe(kills);
  expect([...done].toSorted((x, y) => x - y)).toEqual([0, 1, 2, 4, 5, 6, 7]);
  expect(await r.parkedNow(r.process('reader'))).toHaveLength(1);
});

test('two crashing messages are both parked, and the messages beside them are handled', async () => {
  const r = workQueue();
  const { resize } = jobs({ attempts: 5 });
  await r.sender(r.process('web')).send(resize, numbers(8));
  const done = new Set<number>();
  await lives(r, 20, (p) =>
    r.take(p, resize, async ({ n }) => {
      await after(p, n % 5 === 2 ? 1_000 : 5_000);
      if (n % 5 === 2) await end(p);
      done.add(n);
    }),
  );
  expect([...done].toSorted((x, y) => x - y)).toEqual([0, 1, 3, 4, 5, 6]);
  expect(await r.parkedNow(r.process('reader'))).toHaveLength(2);
});

test('a message that must run alone waits for running handlers, at most for handoverMs', async () => {
  const r = workQueue();
  const { resize } = jobs({ attempts: 5, handoverMs: 2_000 });
  const sender = r.sender(r.process('web'));
  await sender.send(resize, [{ n: 0 }]);
  for (const name of ['a', 'b']) {
    const p = r.process(name);
    await r.take(p, resize, () => never);
    await r.clock.advance(1_000);
    p.crash();
  }
  const started: string[] = [];
  const c = r.process('c');
  const startMs = r.clock.now();
  await r.take(c, resize, async ({ n }) => {
    started.push(`${n} after ${r.clock.now() - startMs}`);
    if (n !== 2) await never;
  });
  await r.clock.advance(100);
  await sender.send(resize, [{ n: 1 }, { n: 2 }]);
  await r.clock.advance(10_000);
  expect(started.toSorted()).toEqual(['0 after 0', '1 after 2000', '2 after 2000']);
});

test('a suspected message whose handler was not called keeps its attempts, and runs alone each time', async () => {
  const r = workQueue();
  const { resize } = jobs({ attempts: 3 });
  const sender = r.sender(r.process('web'));
  await sender.send(resize, [{ n: 0 }]);
  for (const name of ['a', 'b']) {
    const p = r.process(name);
    await r.take(p, resize, () => never);
    await r.clock.advance(1_000);
    p.crash();
  }
  const seen: string[] = [];
  for (const name of ['c', 'd']) {
    const p = r.process(name);
    let left = name === 'c' ? Infinity : 2;
    await r.take(p, resize, async ({ n }, { attempt }) => {
      seen.push(`${name} ${n}: ${attempt}`);
      if (n !== 0) return;
      await after(p, 500);
      seen.push(`${name} 0 ends`);
      if (left-- > 0) throw new NotStarted('closing');
    });
    await r.clock.advance(400);
    await sender.send(resize, [{ n: 1 }]); // it waits for the message that runs alone
    await r.clock.advance(2_000);
    if (name === 'c') p.crash(); // while it waits to be tried again
  }
  await r.clock.advance(60_000);
  const run = (name: string): string[] => [`${name} 0: 3`, `${name} 0 ends`];
  const runs = (name: string): string[] => [...run(name), `${name} 1: 1`, ...run(name)];
  expect(seen).toEqual([...runs('c'), ...runs('d'), ...run('d')]);
  expect(await r.parkedNow(r.process('reader'))).toEqual([]);
});

test('a message whose handler was not called has no recorded attempt after its process crashes', async () => {
  const r = workQueue();
  const { resize } = jobs();
  await r.sender(r.process('web')).send(resize, [{ n: 0 }]);
  const attempts: number[] = [];
  const a = r.process('a');
  await r.take(a, resize, async (_, { attempt }) => {
    attempts.push(attempt);
    await after(a, 2_000); // a commit has recorded it as running by then
    throw new NotStarted('closing');
  });
  await r.clock.advance(2_500);
  a.crash();
  await r.take(r.process('b'), resize, (_, { attempt }) => void attempts.push(attempt));
  await r.clock.advance(60_000);
  expect(attempts).toEqual([1, 1]);
});

test('after a loss the new owner commits before each early handler, after a revocation once', async () => {
  for (const [how, min, max] of [
    ['given', 1, 1],
    ['lost', 10, 100],
  ] as const) {
    const r = workQueue();
    const [a, b] = [r.process('a'), r.process('b')];
    const { resize } = jobs();
    const sender = r.sender(r.process('web'));
    await sender.send(resize, keyed(1));
    const first = await r.take(a, resize, () => undefined);
    await r.clock.advance(1_000);
    if (how === 'given') await first.close();
    else a.crash();
    let commits = 0;
    await sender.send(resize, keyed(100));
    r.world.faults = ({ call }) => void (call === 'commit' && commits++);
    await r.take(b, resize, () => after(b, 10));
    await r.clock.advance(400);
    expect(commits).toBeGreaterThanOrEqual(min);
    expect(commits).toBeLessThanOrEqual(max);
    await r.clock.advance(5_000);
    expect((await r.progress(b)).committed).toBe(101);
  }
});

test('a moving or lost partition is released while a message waits to run alone', async () => {
  for (const how of ['given', 'lost'] as const) {
    const r = workQueue();
    const { resize } = jobs({ attempts: 5, handoverMs: 60_000 });
    await r.sender(r.process('web')).send(resize, numbers(2));
    for (const name of ['a', 'b']) {
      const p = r.process(name);
      await r.take(p, resize, () => never);
      await r.clock.advance(1_000);
      p.crash();
    }
    const c = r.process('c');
    const seen: string[] = [];
    const third = await r.take(c, resize, async ({ n }) => {
      seen.push(`c${n}`);
      await after(c, 5_000);
    });
    await r.clock.advance(100);
    expect(seen).toHaveLength(1); // the other one waits
    const closing = how === 'given' ? third.close() : c.crash();
    await r.clock.advance(10_000);
    await closing;
    const d = r.process('d');
    await r.take(d, resize, ({ n }) => void seen.push(`d${n}`));
    await r.clock.advance(10_000);
    expect((await r.progress(d)).committed).toBe(2);
    expect(seen).toHaveLength(how === 'given' ? 2 : 3);
  }
});
