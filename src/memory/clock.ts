/**
 * Implements virtual time and seeded random numbers. Tests never wait for real time, and simulations repeat exactly.
 */
import { AsyncResource } from 'node:async_hooks';
import type { Clock, Random, Timer } from '../base/clock';

export interface VirtualClock extends Clock {
  /**
   * Advances the time by `ms` and fires the timers that are due: by due time, then in order of creation. After each
   * timer, all promise callbacks run before the next one fires. `advance(0)` fires what is due now. Calls are queued.
   */
  advance(ms: number): Promise<void>;
  /**
   * Fires timer after timer until `done()` returns true. Resolves to false if it did not within `limitMs` of virtual
   * time.
   */
  runUntil(done: () => boolean, limitMs: number): Promise<boolean>;
  /** Due time of the next timer; undefined when none is set. */
  readonly nextDueMs: number | undefined;
}

export interface VirtualClockOptions {
  /** First result of `now`. @default 2026-01-01 */
  readonly startMs?: number;
  /**
   * Timers that fire although no caller advances the time. `due`: timers that are due (default). `all`: every timer
   * once no other work is left, so that time passes by itself.
   */
  readonly runs?: 'due' | 'all';
  /** Awaited before each timer, until no work is left. Default: until every promise callback that can run has run. */
  readonly drain?: () => Promise<void>;
}

interface Waiting {
  readonly dueMs: number;
  readonly order: number;
  /** Number of timers in a row that led to it without any time passing. */
  readonly chain: number;
  readonly run: () => void;
}

/** Limits timers in a row that each set the next one for the same moment. A longer chain is an endless loop. */
const chainMax = 10_000;
// Saved now, since test frameworks can replace it later.
const nextTick = process.nextTick.bind(process);

/** Resolves when no promise callback is left. Node runs ticks only when its queue of promise callbacks is empty. */
export async function promisesRunOut(): Promise<void> {
  await Promise.resolve(); // inside a tick, the next tick would run before the promise callbacks
  await ticked();
}

/** Does the same as {@link promisesRunOut} at half the cost. The caller must itself be a promise callback. */
const ticked = (): Promise<void> => new Promise((resolve) => nextTick(resolve));

export function virtualClock(options: VirtualClockOptions = {}): VirtualClock {
  const startMs = options.startMs ?? Date.UTC(2026, 0, 1);
  const drain = options.drain ?? ticked; // `drive` is called by a promise
  const waiting: Waiting[] = []; // the next timer to fire is last
  let nowMs = startMs;
  let order = 0;
  let chain = 0; // chain of the timer that is firing
  let driving = false;
  let kicked = false;
  let turn: Promise<unknown> = Promise.resolve();

  /** Returns the position of a timer. Every timer from there on fires before it. */
  function placeOf(dueMs: number, mine: number): number {
    let low = 0;
    let high = waiting.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = waiting[middle];
      if (other && (other.dueMs > dueMs || (other.dueMs === dueMs && other.order > mine))) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  async function drive(limitMs: number, done?: () => boolean): Promise<boolean> {
    driving = true;
    try {
      await drain();
      for (;;) {
        if (done?.()) return true;
        const next = waiting.at(-1);
        if (!next || next.dueMs > limitMs) break;
        if (next.chain > chainMax) {
          throw new Error(`virtual time stands still at ${nowMs}: timers without delay are set without end`);
        }
        ({ chain } = next);
        waiting.pop();
        nowMs = Math.max(nowMs, next.dueMs);
        next.run();
        await drain();
      }
      if (Number.isFinite(limitMs)) nowMs = Math.max(nowMs, limitMs);
      return false;
    } finally {
      driving = false;
      chain = 0;
    }
  }

  function inTurn(limitMs: () => number, done?: () => boolean): Promise<boolean> {
    const mine = turn.then(() => drive(limitMs(), done));
    turn = mine.catch(() => undefined); // the caller receives the error; the next turn runs all the same
    return mine;
  }

  function kick(): void {
    if (driving || kicked) return;
    kicked = true;
    void inTurn(() => {
      kicked = false;
      return options.runs === 'all' ? Infinity : nowMs;
    });
  }

  return {
    now: () => nowMs,
    mono: () => nowMs - startMs,
    after(delayMs, run): Timer {
      const context = new AsyncResource('busbar.timer'); // `run` gets the async context of this call
      const mine: Waiting = {
        dueMs: nowMs + Math.max(0, delayMs),
        order: order++,
        chain: delayMs > 0 ? 0 : chain + 1,
        run: () => context.runInAsyncScope(run),
      };
      waiting.splice(placeOf(mine.dueMs, mine.order), 0, mine);
      if (options.runs === 'all' || mine.dueMs <= nowMs) kick();
      return {
        cancel() {
          const place = placeOf(mine.dueMs, mine.order);
          if (waiting[place] === mine) waiting.splice(place, 1);
        },
      };
    },
    async advance(ms) {
      await inTurn(() => nowMs + ms);
    },
    runUntil: (done, limitMs) => inTurn(() => nowMs + limitMs, done),
    get nextDueMs() {
      return waiting.at(-1)?.dueMs;
    },
  };
}

/**
 * Returns pseudorandom numbers that are the same for the same seed (a 32-bit Weyl sequence through a mixing function).
 */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return {
    next() {
      state = (state + 0x9e3779b9) >>> 0;
      let mixed = state;
      mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
    },
  };
}
