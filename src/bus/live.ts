/** Effective limits of an entry: settings override the values of `serve`, `listen` and the contract. */
import type { Clock, Timer } from '../base/clock';
import type { Refused } from '../base/live';
import type { EntryOptions } from '../contract/types';
import type { Setting } from '../ports/settings';
import type { EntryLimits, Pause, RetryOptions } from '../work/types';

/** Settings of one entry or one named listener. */
export interface EntrySettings {
  readonly concurrency?: number | undefined;
  readonly perSecond?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly attempts?: number | undefined;
  readonly backoffMs?: number | undefined;
  readonly paused?: boolean | undefined;
  /** Time in ISO 8601 until which nothing is handled. */
  readonly pausedUntil?: string | undefined;
}
/** Part of the configuration that settings can change while the bus is open. */
export interface BusLive {
  /** Values for the whole bus. The configuration applies where no setting exists. */
  readonly bus: { readonly timeoutMs: number; readonly requestConcurrency: number; readonly workConcurrency: number };
  /** Returns the settings of one entry or named listener. */
  entry(name: string): EntrySettings;
  /** Settings that are not applied. */
  readonly refused: readonly Refused[];
  /** Applies the complete list of settings. */
  take(settings: readonly Setting[]): void;
  /** Calls `see` with the name of each changed entry, '' for the whole bus. Returns a function that ends that. */
  watch(see: (name: string) => void): () => void;
}

/**
 * Calls `apply` immediately, after each change that concerns one of `names`, and when a pause of one of them ends.
 * Returns a function that ends that.
 */
export function follow(live: BusLive, clock: Clock, names: readonly string[], apply: () => void): () => void {
  let timer: Timer | undefined;
  const applyNow = (): void => {
    timer?.cancel();
    apply();
    const ends = names.flatMap((name) => pauseOf(live, name, clock.now())?.untilMs ?? []);
    // A timer cannot be longer than this. It then only applies the same limits once more.
    const waitMs = Math.min(timerMsMax, ...ends.map((untilMs) => untilMs - clock.now()));
    if (ends.length > 0) timer = clock.after(waitMs, applyNow);
  };
  applyNow();
  const unwatch = live.watch((changed) => {
    if (changed === '' || names.includes(changed)) applyNow();
  });
  return () => {
    unwatch();
    timer?.cancel();
  };
}
const timerMsMax = 86_400_000;

/** Returns the pause that the settings of a name cause now. */
function pauseOf(live: BusLive, name: string, nowMs: number): Pause | undefined {
  const { paused, pausedUntil } = live.entry(name);
  if (paused) return { name, untilMs: null };
  const untilMs = Date.parse(pausedUntil ?? '');
  return untilMs > nowMs ? { name, untilMs } : undefined;
}

/** Values of the code for an entry, and the time. */
export interface LimitsGiven extends Partial<Pick<EntryLimits, 'concurrency' | 'perSecond'>> {
  /** The queue of the entry, whose settings pause all of its entries. */
  readonly queue?: string | undefined;
  readonly nowMs: number;
}

/** Returns the current limits of an entry. `given` are the values of the code, `usual` the concurrency without any. */
export function limitsNow(live: BusLive, name: string, given: LimitsGiven, usual: number): EntryLimits {
  const { concurrency, perSecond } = live.entry(name);
  const { queue, nowMs } = given;
  const pause = (queue === undefined ? undefined : pauseOf(live, queue, nowMs)) ?? pauseOf(live, name, nowMs);
  return {
    concurrency: pause ? 0 : (concurrency ?? given.concurrency ?? usual),
    perSecond: perSecond ?? given.perSecond ?? Infinity,
    ...(pause && { pause }),
  };
}

/** Returns the retry options that are set. The contract or `listen` determines the rest. */
export function retryNow(live: BusLive, name: string): Pick<RetryOptions, 'attempts' | 'backoffMs'> {
  const { attempts, backoffMs } = live.entry(name);
  return { ...(attempts !== undefined && { attempts }), ...(backoffMs !== undefined && { backoffMs }) };
}

/** Returns the current timeout of a request, in ms. */
export function timeoutNow(live: BusLive, name: string, given: EntryOptions): number {
  return live.entry(name).timeoutMs ?? given.timeoutMs ?? live.bus.timeoutMs;
}
