/** Time and randomness as ports, so that a test or a simulator can control both. */
import { onAbort } from './lifecycle';

/** A timer that can be canceled. Canceling it twice, or after it fired, has no effect. */
export interface Timer {
  cancel(): void;
}

/** Source of time and of timers. */
export interface Clock {
  /** Returns the wall-clock time in ms since 1970, like `Date.now`. */
  now(): number;
  /** Returns ms since an arbitrary start. The value never decreases, so use it to measure durations. */
  mono(): number;
  /**
   * Calls `run` once, when `mono` has advanced by at least `delayMs` (0 to 2^31-1). It never fires early, so `run` can
   * compare times. The timer does not keep the process running.
   */
  after(delayMs: number, run: () => void): Timer;
}

/** Source of random numbers. */
export interface Random {
  /** Returns a number from 0, inclusive, to 1, exclusive. */
  next(): number;
}

/**
 * Returns the time since `startMs` of the monotonic clock, in ms. It is rounded to the microsecond, as further digits
 * are noise.
 */
export function tookMs(clock: Clock, startMs: number): number {
  return Math.round((clock.mono() - startMs) * 1_000) / 1_000;
}

/** Resolves after `delayMs`, or immediately when `signal` aborts. Never rejects. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = clock.after(delayMs, done);
    const ignore = signal && onAbort(signal, done);
    function done(): void {
      timer.cancel();
      ignore?.();
      resolve();
    }
  });
}

/** Resolves when `step` has settled, or after `limitMs`. Never rejects. */
export async function within(clock: Clock, limitMs: number, step: Promise<unknown>): Promise<void> {
  const over = new AbortController();
  await Promise.race([Promise.allSettled([step]), sleep(clock, limitMs, over.signal)]);
  over.abort();
}

/** Calls `run` every `everyMs` until canceled. The next timer starts after `run` returned, so calls never overlap. */
export function every(clock: Clock, everyMs: number, run: () => void): Timer {
  let timer = clock.after(everyMs, turn);
  let on = true;
  function turn(): void {
    run();
    if (on) timer = clock.after(everyMs, turn);
  }
  return {
    cancel() {
      on = false;
      timer.cancel();
    },
  };
}

/** Keeps the process running until canceled. Callers need it while they wait without an open socket. */
export function holdProcess(): Timer {
  const handle = setInterval(() => undefined, 2 ** 31 - 1);
  return { cancel: () => clearInterval(handle) };
}

/**
 * Clock of this machine. Its timers do not keep the process running; an open bus does, by its sockets or with
 * {@link holdProcess}.
 */
export const systemClock: Clock = {
  now: () => Date.now(),
  mono: () => performance.now(),
  after(delayMs, run) {
    if (delayMs <= 0) return nextTurn(run); // a timer of Node.js takes at least one millisecond
    const dueMs = performance.now() + delayMs;
    let handle = wait(delayMs);
    function wait(ms: number): NodeJS.Timeout {
      const timeout = setTimeout(fire, Math.min(ms, 2 ** 31 - 1));
      return timeout.unref();
    }
    // Node.js rounds timers to whole milliseconds, so one in two fires up to two milliseconds early.
    function fire(): void {
      const leftMs = dueMs - performance.now();
      if (leftMs > 0) handle = wait(leftMs);
      else run();
    }
    return { cancel: () => clearTimeout(handle) };
  },
};

function nextTurn(run: () => void): Timer {
  const handle = setImmediate(run);
  handle.unref();
  return { cancel: () => clearImmediate(handle) };
}

/** Randomness of this machine. */
export const systemRandom: Random = { next: () => Math.random() };

/** Returns a number below 2^bits as lower-case hex of fixed width. `bits` must be a multiple of 4. */
export function randomHex(random: Random, bits: number): string {
  let hex = '';
  while (hex.length < bits / 4) hex += Math.floor(random.next() * 16).toString(16);
  return hex;
}
