/** Types of the messages in the memory of a consumer, as operators see and skip them. */
import type { Behind } from '../base/errors';

/** A message that a consumer has read and not settled. Times are in ms since 1970, durations in ms. */
export interface HeldMessage {
  readonly id: string;
  readonly entry: string;
  readonly key: string | null;
  readonly partition: number;
  readonly offset: number;
  /**
   * - `running`: its handler runs.
   * - `ending`: its handler has ended or was not called, and the message is being parked or recorded.
   * - `backoff`: it waits for its next attempt.
   * - `waiting`: it waits for its turn.
   */
  readonly state: 'running' | 'ending' | 'backoff' | 'waiting';
  /** Number of attempts that have ended. */
  readonly attempts: number;
  readonly attemptsMax: number;
  /** Start of the running attempt; null if none runs. */
  readonly sinceMs: number | null;
  /** Time until the next attempt; null unless it is in backoff. */
  readonly dueInMs: number | null;
  readonly note: string;
  /** Failed attempts in this instance, oldest first. */
  readonly failures: readonly HeldFailure[];
  /** The reason why it does not start: no lane limit applies to a message behind another one of its key. */
  readonly heldBy: 'key' | 'unknown entry' | 'paused' | 'limits' | null;
  /** The message of the same key that is handled next or now; null if this one is first. */
  readonly ahead: { readonly id: string; readonly state: HeldMessage['state']; readonly sinceMs: number | null } | null;
  /** Number of messages of the same key in memory that are handled before this one. */
  readonly aheadCount: number;
  /** Number of messages of the same key in memory that wait for this one. */
  readonly behindCount: number;
}

/** Result of skipping one message. */
export interface Skipped {
  readonly id: string;
  /**
   * - `parking`: it is being parked.
   * - `aborted`: its handler runs. Its signal has aborted, and the message is parked unless the handler succeeds.
   * - `marked`: it is parked when its turn comes, because this instance has not read it or cannot settle it yet.
   */
  readonly state: 'parking' | 'aborted' | 'marked';
}
/** A failed attempt, without its stack. */
export interface HeldFailure extends Behind {
  readonly attempt: number;
  readonly atMs: number;
  readonly error: string;
  readonly instance: string;
}
