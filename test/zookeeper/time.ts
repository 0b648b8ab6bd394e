/** A clock that a test advances. */
import type { Clock } from '../../src/base/clock';

export function openTime(): { readonly clock: Clock; pass(ms: number): Promise<void> } {
  let nowMs = 0;
  const timers = new Set<{ readonly atMs: number; readonly run: () => void }>();
  const clock: Clock = {
    now: () => nowMs,
    mono: () => nowMs,
    after(delayMs, run) {
      const timer = { atMs: nowMs + delayMs, run };
      timers.add(timer);
      return { cancel: () => void timers.delete(timer) };
    },
  };
  return {
    clock,
    /** Runs all due timers at once, as after a stall, and then lets promises settle. */
    async pass(ms) {
      nowMs += ms;
      for (const timer of timers) if (timer.atMs <= nowMs && timers.delete(timer)) timer.run();
      for (let n = 0; n < 10; n++) await Promise.resolve();
    },
  };
}
