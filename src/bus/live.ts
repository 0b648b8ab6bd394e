/** Effective limits of an entry: settings override the values of `serve`, `listen` and the contract. */
import type { Refused } from '../base/live';
import type { EntryOptions } from '../contract/types';
import type { Setting } from '../ports/settings';
import type { EntryLimits, RetryOptions } from '../work/types';

/** Settings of one entry or one named listener. */
export interface EntrySettings {
  readonly concurrency?: number | undefined;
  readonly perSecond?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly attempts?: number | undefined;
  readonly backoffMs?: number | undefined;
  readonly paused?: boolean | undefined;
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

/** Calls `apply` immediately, and after each change that concerns one of `names`. Returns a function that ends that. */
export function follow(live: BusLive, names: readonly string[], apply: () => void): () => void {
  apply();
  return live.watch((changed) => {
    if (changed === '' || names.includes(changed)) apply();
  });
}

/** Returns the current limits of an entry. `given` are the values of the code, `usual` the concurrency without any. */
export function limitsNow(live: BusLive, name: string, given: Partial<EntryLimits>, usual: number): EntryLimits {
  const { paused, concurrency, perSecond } = live.entry(name);
  return {
    concurrency: paused ? 0 : (concurrency ?? given.concurrency ?? usual),
    perSecond: perSecond ?? given.perSecond ?? Infinity,
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
