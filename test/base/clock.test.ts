import { systemClock } from '../../src/base/clock';

describe('the system clock', () => {
  it('fires no timer early, not even by a fraction of a millisecond', async () => {
    const earlyMs: number[] = [];
    const timers = Array.from({ length: 300 }, (_, n) => {
      const delayMs = 0.3 + n * 0.13;
      const dueMs = systemClock.mono() + delayMs;
      return new Promise<void>((resolve) =>
        systemClock.after(delayMs, () => {
          if (systemClock.mono() < dueMs) earlyMs.push(dueMs - systemClock.mono());
          resolve();
        }),
      );
    });
    await Promise.all(timers);
    expect(earlyMs).toEqual([]);
  });

  it('does not fire a timer cancelled during its last fraction of a millisecond', async () => {
    let fired = 0;
    const timers = Array.from({ length: 100 }, (_, n) => systemClock.after(1 + n / 100, () => fired++));
    for (const timer of timers) timer.cancel();
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(fired).toBe(0);
  });
});
