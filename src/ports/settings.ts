/**
 * Port of the live configuration: versioned text values that processes watch. Implementations: embedded, memory,
 * zookeeper.
 */
import type { Closable } from '../base/lifecycle';

/** One setting and its version. */
export interface Setting {
  readonly key: string;
  readonly value: string;
  /**
   * Version of the value. It is 1 after creation, even after an earlier removal, and rises by 1 with each write. The
   * version 0 means that the setting does not exist.
   */
  readonly version: number;
}

/** Store of settings. */
export interface Settings extends Closable {
  /** Returns the setting, or undefined if it does not exist. */
  get(key: string): Promise<Setting | undefined>;
  /** Returns every setting. */
  all(): Promise<readonly Setting[]>;
  /**
   * Writes the value if the setting still has version `was`; 0 requires that it does not exist. The value `null`
   * removes it.
   *
   * Resolves with the new version. Rejects with Conflict if the version differs.
   *
   * A setting that was removed and recreated starts again at version 1, so `was` cannot detect the removal. A caller
   * that must detect it writes an empty value instead of removing the setting.
   */
  set(key: string, value: string | null, was: number): Promise<number>;
  /** Calls `see` with all settings: once before it resolves, and after each change until the result is closed. */
  watch(see: (settings: readonly Setting[]) => void): Promise<Closable>;
}
