/** Time and chance as ports: whoever needs them is handed these, so that a test or a simulator can own both. */
import { onAbort } from './lifecycle';

/** A timer that can be taken back. Cancelling twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since 1970, as `Date.now`. */
  now(): number;
  /** Milliseconds from an arbitrary start that never go back; for measuring how long something took. */
  mono(): number;
  /**
   * Calls `run` once, when `mono` has advanced by at least `delayMs` (0 or more, at most 2^31-1): never earlier, so
   * that `run` may compare times. The process may end while it waits.
   */
  after(delayMs: number, run: () => void): Timer;
}

export interface Random {
  /** A number from 0 (included) to 1 (excluded). */
  next(): number;
}

/** How long it took since `startMs` of the monotonic clock, in ms, to the microsecond: beyond that is noise. */
export function tookMs(clock: Clock, startMs: number): number {
  return Math.round((clock.mono() - startMs) * 1_000) / 1_000;
}

/** Resolves after `delayMs`, or at once when `signal` aborts; never rejects. */
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

/** Resolves when `step` has ended, in whatever way, or after `limitMs`. */
export async function within(clock: Clock, limitMs: number, step: Promise<unknown>): Promise<void> {
  const over = new AbortController();
  await Promise.race([Promise.allSettled([step]), sleep(clock, limitMs, over.signal)]);
  over.abort();
}

/** Calls `run` every `everyMs` until cancelled; the next turn is set only after `run` returned. */
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

/** Keeps the process from ending by itself until cancelled: for whoever may wait while no socket is open. */
export function holdProcess(): Timer {
  const handle = setInterval(() => undefined, 2 ** 31 - 1);
  return { cancel: () => clearInterval(handle) };
}

/** The machine's own time. Timers do not hold the process; an open bus does, by its sockets or until it is closed. */
export const systemClock: Clock = {
  now: () => Date.now(),
  mono: () => performance.now(),
  after(delayMs, run) {
    if (delayMs <= 0) return nextTurn(run); // a timer of Node's waits a millisecond at least
    const dueMs = performance.now() + delayMs;
    let handle = wait(delayMs);
    function wait(ms: number): NodeJS.Timeout {
      const timeout = setTimeout(fire, Math.min(ms, 2 ** 31 - 1));
      return timeout.unref();
    }
    // Node counts whole milliseconds, so every second timer fires up to two milliseconds early.
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

export const systemRandom: Random = { next: () => Math.random() };

/** A number below 2^bits as lower-case hex of fixed width; bits must be a multiple of 4. */
export function randomHex(random: Random, bits: number): string {
  let hex = '';
  while (hex.length < bits / 4) hex += Math.floor(random.next() * 16).toString(16);
  return hex;
}
