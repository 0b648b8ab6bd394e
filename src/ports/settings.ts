/** Live configuration: versioned text values that processes watch. Makers: embedded, memory, zookeeper. */
import type { Closable } from '../base/lifecycle';

export interface Setting {
  readonly key: string;
  readonly value: string;
  /** Rises by one with each write, from 1 when it is made, also when it was there before; 0 is 'not there'. */
  readonly version: number;
}

export interface Settings extends Closable {
  get(key: string): Promise<Setting | undefined>;
  all(): Promise<readonly Setting[]>;
  /**
   * Writes if the version is still `was` (0: only if it is not there), else rejects with Conflict. `null` removes.
   * Resolves with the new version. One that was removed and made again counts anew: `was` cannot tell it from the one
   * before, so whoever must notice that leaves it there and writes an empty value.
   */
  set(key: string, value: string | null, was: number): Promise<number>;
  /** Calls `see` with all settings: once before it resolves, then after each change. */
  watch(see: (settings: readonly Setting[]) => void): Promise<Closable>;
}
