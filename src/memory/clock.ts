/** Time that moves only when told to, and chance from a seed: tests wait for nothing, simulations repeat exactly. */
import { AsyncResource } from 'node:async_hooks';
import type { Clock, Random, Timer } from '../base/clock';

export interface VirtualClock extends Clock {
  /**
   * Moves time on by `ms` and fires what falls due meanwhile: by due time, then in order of creation. After each timer
   * all promises run out before the next one fires. `advance(0)` fires what is due now. Calls queue up.
   */
  advance(ms: number): Promise<void>;
  /** Fires timer after timer until `done()` holds; resolves to false if it did not within `limitMs` of virtual time. */
  runUntil(done: () => boolean, limitMs: number): Promise<boolean>;
  /** When the next timer falls due; undefined when none is set. */
  readonly nextDueMs: number | undefined;
}

export interface VirtualClockOptions {
  /** What `now` says first; default 2026-01-01. */
  readonly startMs?: number;
  /**
   * What fires although nobody moves the time: `due`, timers whose time has come (default), or `all`, any timer as soon
   * as nothing else is left to do, so that time passes by itself.
   */
  readonly runs?: 'due' | 'all';
  /** Awaited before each timer: until nothing is left to do. Default: until no promise is left that can go on. */
  readonly drain?: () => Promise<void>;
}

interface Waiting {
  readonly dueMs: number;
  readonly order: number;
  /** How many timers in a row led to it without any time passing. */
  readonly chain: number;
  readonly run: () => void;
}

/** So many timers in a row, each set by the one before for this very moment, are a loop that never ends. */
const chainMax = 10_000;
// Taken now, since test frameworks may replace it later.
const nextTick = process.nextTick.bind(process);

/** Resolves when no promise callback is left: Node runs ticks only when its queue of promise callbacks is empty. */
export async function promisesRunOut(): Promise<void> {
  await Promise.resolve(); // from inside a tick, the next tick would come before the promises
  await ticked();
}

/** As {@link promisesRunOut} for what is a promise callback itself, at half the cost. */
const ticked = (): Promise<void> => new Promise((resolve) => nextTick(resolve));

export function virtualClock(options: VirtualClockOptions = {}): VirtualClock {
  const startMs = options.startMs ?? Date.UTC(2026, 0, 1);
  const drain = options.drain ?? ticked; // `drive` is called by a promise
  const waiting: Waiting[] = []; // the next one to fire is last
  let nowMs = startMs;
  let order = 0;
  let chain = 0; // of the timer that fires now
  let driving = false;
  let kicked = false;
  let turn: Promise<unknown> = Promise.resolve();

  /** Where a timer stands or belongs: everything from there on fires before it. */
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
          throw new Error(`virtual time stands still at ${nowMs}: timers without delay go on for ever`);
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
    turn = mine.catch(() => undefined); // whoever asked hears of it; the next turn comes all the same
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
      const context = new AsyncResource('busbar.timer'); // as with a real timer, `run` finds the context it was set in
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

/** Numbers that look random and are the same for the same seed (a 32-bit Weyl sequence through a mixing function). */
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
