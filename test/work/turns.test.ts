/** Time that handlers block the event loop, in virtual time, in which only handlers take time. */
import type { Clock } from '../../src/base/clock';
import { jobs, workQueue } from '../support/work-queue';

const numbers = (count: number) => Array.from({ length: count }, (_, n) => ({ n }));

/** Starts 300 handlers of `eachMs`, and returns the longest time from one timer to the next. */
async function heldFor(eachMs: number, run: (work: () => void) => unknown): Promise<number> {
  const r = workQueue();
  const a = r.process('a');
  const { resize } = jobs();
  await r.sender(a).send(resize, numbers(300));
  let spentMs = 0;
  let turnMs = 0;
  let mostMs = 0;
  const clock: Clock = {
    now: () => a.clock.now() + spentMs,
    mono: () => a.clock.mono() + spentMs,
    after: (delayMs, then) =>
      a.clock.after(delayMs, () => {
        turnMs = 0;
        then();
      }),
  };
  const work = (): void => {
    spentMs += eachMs;
    turnMs += eachMs;
    mostMs = Math.max(mostMs, turnMs);
  };
  const queue = await r.take(a, resize, () => run(work), {}, { clock });
  await r.clock.advance(1_000);
  expect(queue.stats().handled).toBe(300);
  return mostMs;
}

test.each([
  ['return no promise', (work: () => void) => work()],
  ['return a promise and await nothing', async (work: () => void) => work()],
])('handlers of 40 ms CPU that %s run one in each event loop turn', async (_how, run) => {
  expect(await heldFor(40, run)).toBe(40);
});

test('handlers that take no time share a turn, up to 10 ms of it', async () => {
  expect(await heldFor(0.5, (work) => work())).toBe(10);
});
