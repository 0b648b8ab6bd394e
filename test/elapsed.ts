/** How long things take where others use the machine too: a promise in milliseconds is the bus's, not the scheduler's. */
import { type Clock, systemClock } from '../src/base/clock';

const tickMs = 5;

/**
 * Time as this process lives it: a moment in which the machine did not let it run counts as two ticks. Its timers fire
 * at ticks, so whatever arrived in such a moment is read before them. Close it.
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

/** The time until `happened`, in ms, as this process lived it, or the processor time that it used if that is more. */
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

/** The processor time of something that waits for nothing, in ms. */
export function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

/**
 * The first of three rounds that takes less than `limitMs`, or the quickest: for what other processes do. One that the
 * machine lets wait makes a round long; what is missing in the bus makes all of them long.
 */
export async function quickest(limitMs: number, round: (n: number) => Promise<number>): Promise<number> {
  let bestMs = Infinity;
  for (let n = 1; n <= 3 && bestMs >= limitMs; n++) bestMs = Math.min(bestMs, await round(n));
  return bestMs;
}
