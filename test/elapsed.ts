/** Measures times on a shared machine: limits in milliseconds apply to the bus, not to the scheduler. */
import { type Clock, systemClock } from '../src/base/clock';

const tickMs = 5;

/**
 * A clock of the time in which this process was scheduled: a pause counts as at most two ticks. Its timers fire at
 * ticks, so data that arrived during a pause is read before them. Close it after use.
 */
export function openLivedClock(): { readonly clock: Clock; readonly close: () => void } {
  const timers = new Set<{ readonly atMs: number; readonly run: () => void }>();
  let [lived, lastMs] = [0, performance.now()];
  const tick = (): void => {
    const nowMs = performance.now();
    lived += Math.min(nowMs - lastMs, 2 * tickMs);
    lastMs = nowMs;
    for (const timer of timers) if (timer.atMs <= lived && timers.delete(timer)) timer.run();
  };
  const ticking = setInterval(tick, tickMs);
  const clock: Clock = {
    now: () => systemClock.now(),
    mono: () => lived,
    after(delayMs, run) {
      const timer = { atMs: lived + delayMs, run };
      timers.add(timer);
      return { cancel: () => void timers.delete(timer) };
    },
  };
  return { clock, close: () => clearInterval(ticking) };
}

/** Returns the scheduled time until `happened` resolves, in ms, or the CPU time used if that is more. */
export async function livedMs(happened: Promise<unknown>): Promise<number> {
  const { clock, close } = openLivedClock();
  const cpu = process.cpuUsage();
  try {
    await happened;
  } finally {
    close();
  }
  const { user, system } = process.cpuUsage(cpu);
  return Math.max(clock.mono(), (user + system) / 1_000);
}

/** Returns the CPU time of synchronous work, in ms. */
export function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

/**
 * Returns the first of three rounds below `limitMs`, or the fastest. A pause of the machine makes one round long; a
 * defect of the bus makes all of them long.
 */
export async function quickest(limitMs: number, round: (n: number) => Promise<number>): Promise<number> {
  let bestMs = Infinity;
  for (let n = 1; n <= 3 && bestMs >= limitMs; n++) bestMs = Math.min(bestMs, await round(n));
  return bestMs;
}
