import { AsyncLocalStorage } from 'node:async_hooks';
import { sleep } from '../../src/base/clock';
import { promisesRunOut, seededRandom, virtualClock } from '../../src/memory/clock';
import { heavy } from '../heavy';

describe('a virtual clock', () => {
  it('fires timers by due time, then in the order of their creation, and never early', async () => {
    const clock = virtualClock({ startMs: 1_000 });
    const fired: string[] = [];
    const set = (delayMs: number, name: string) => clock.after(delayMs, () => fired.push(`${name}@${clock.now()}`));
    set(30, 'c');
    set(10, 'a');
    set(30, 'd');
    set(20, 'b');
    set(15, 'taken back').cancel();
    await clock.advance(29);
    expect(fired).toEqual(['a@1010', 'b@1020']);
    expect(clock.nextDueMs).toBe(1_030);
    await clock.advance(1);
    expect(fired).toEqual(['a@1010', 'b@1020', 'c@1030', 'd@1030']);
    expect([clock.now(), clock.mono(), clock.nextDueMs]).toEqual([1_030, 30, undefined]);
  });

  heavy('runs all promise callbacks between timers, however long their chain', async () => {
    const clock = virtualClock();
    const trace: string[] = [];
    clock.after(5, async () => {
      for (let n = 0; n < 10_000; n++) await Promise.resolve();
      trace.push('end of the chain');
    });
    clock.after(5, () => trace.push('next timer'));
    await clock.advance(5);
    expect(trace).toEqual(['end of the chain', 'next timer']);
  });

  it('fires timers that are set while time passes', async () => {
    const clock = virtualClock();
    const trace: number[] = [];
    const task = (async () => {
      for (let n = 0; n < 5; n++) {
        await sleep(clock, 10);
        trace.push(clock.mono());
      }
    })();
    await clock.advance(100);
    await task;
    expect(trace).toEqual([10, 20, 30, 40, 50]);
    expect(clock.mono()).toBe(100);
  });

  it('fires due timers without being advanced, after the promises of the turn', async () => {
    const clock = virtualClock();
    const trace: string[] = [];
    clock.after(0, () => trace.push('timer'));
    void Promise.resolve().then(() => trace.push('promise'));
    await sleep(clock, 0);
    expect(trace).toEqual(['promise', 'timer']);
    let later = false;
    clock.after(1, () => (later = true));
    await promisesRunOut();
    expect(later).toBe(false);
  });

  it('runs until a condition holds, and returns false when it does not', async () => {
    const clock = virtualClock();
    let count = 0;
    const tick = (): void => {
      count++;
      clock.after(10, tick);
    };
    clock.after(10, tick);
    expect(await clock.runUntil(() => count === 3, 1_000)).toBe(true);
    expect(clock.mono()).toBe(30);
    expect(await clock.runUntil(() => count === 0, 50)).toBe(false);
    expect(clock.mono()).toBe(80);
  });

  it('advances from timer to timer without being called, with runs: all', async () => {
    const clock = virtualClock({ runs: 'all' });
    await sleep(clock, 60_000);
    await sleep(clock, 60_000);
    expect(clock.mono()).toBe(120_000);
  });

  it('runs overlapping advances one after the other', async () => {
    const clock = virtualClock();
    await Promise.all([clock.advance(10), clock.advance(10)]);
    expect(clock.mono()).toBe(20);
  });

  it('calls a timer in the async context that set it', async () => {
    const clock = virtualClock();
    const context = new AsyncLocalStorage<string>();
    let seen: string | undefined;
    context.run('of the setter', () => clock.after(10, () => (seen = context.getStore())));
    await context.run('of the mover', () => clock.advance(10));
    expect(seen).toBe('of the setter');
  });

  heavy('rejects when timers repeat forever without time passing', async () => {
    const clock = virtualClock();
    const again = (): void => void clock.after(0, again);
    clock.after(10, again);
    await expect(clock.advance(10)).rejects.toThrow(/stands still/);
  });

  it('waits for the drain function between timers', async () => {
    let drained = 0;
    const clock = virtualClock({
      drain: async () => {
        await new Promise((resolve) => setImmediate(resolve));
        drained++;
      },
    });
    let read = false;
    clock.after(1, () => setImmediate(() => (read = true)));
    await clock.advance(1);
    expect([read, drained]).toEqual([true, 2]);
  });
});

describe('a seeded random', () => {
  it('returns the same numbers for the same seed, evenly spread from 0 to below 1', () => {
    const draw = (seed: number): number[] =>
      Array.from(
        { length: 10_000 },
        (
          (random) => () =>
            random.next()
        )(seededRandom(seed)),
      );
    expect(draw(7).join()).toBe(draw(7).join()); // comparing one string is faster than comparing arrays
    expect(draw(7).join()).not.toBe(draw(8).join());
    const tenths = Array.from({ length: 10 }, () => 0);
    for (const number of draw(7)) tenths[Math.floor(number * 10)]!++;
    for (const count of tenths) expect(Math.abs(count - 1_000)).toBeLessThan(150);
  });
});
