/** What holds for an entry right now: what settings say, over what `serve`, `listen` and the contract said. */
import type { Refused } from '../base/live';
import type { EntryOptions } from '../contract/types';
import type { Setting } from '../ports/settings';
import type { EntryLimits, RetryOptions } from '../work/types';

/** What settings say about one entry or one named listener. */
export interface EntrySettings {
  readonly concurrency?: number | undefined;
  readonly perSecond?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly attempts?: number | undefined;
  readonly backoffMs?: number | undefined;
  readonly paused?: boolean | undefined;
}
/** The part of the configuration that settings change while the bus is open. */
export interface BusLive {
  /** For the whole bus, as configured where settings say nothing. */
  readonly bus: { readonly timeoutMs: number; readonly requestConcurrency: number; readonly workConcurrency: number };
  entry(name: string): EntrySettings;
  /** Settings that are not applied. */
  readonly refused: readonly Refused[];
  take(settings: readonly Setting[]): void;
  watch(see: (name: string) => void): () => void;
}

/** Calls `apply` now, and after each change that concerns one of `names`, until the function given back is called. */
export function follow(live: BusLive, names: readonly string[], apply: () => void): () => void {
  apply();
  return live.watch((changed) => {
    if (changed === '' || names.includes(changed)) apply();
  });
}

/** `given` is what code said, `usual` the concurrency where nobody says anything. */
export function limitsNow(live: BusLive, name: string, given: Partial<EntryLimits>, usual: number): EntryLimits {
  const { paused, concurrency, perSecond } = live.entry(name);
  return {
    concurrency: paused ? 0 : (concurrency ?? given.concurrency ?? usual),
    perSecond: perSecond ?? given.perSecond ?? Infinity,
  };
}

/** Nothing where settings say nothing: then it is as the contract or `listen` said. */
export function retryNow(live: BusLive, name: string): Pick<RetryOptions, 'attempts' | 'backoffMs'> {
  const { attempts, backoffMs } = live.entry(name);
  return { ...(attempts !== undefined && { attempts }), ...(backoffMs !== undefined && { backoffMs }) };
}

export function timeoutNow(live: BusLive, name: string, given: EntryOptions): number {
  return live.entry(name).timeoutMs ?? given.timeoutMs ?? live.bus.timeoutMs;
}
