/** The state of a queue, as an inspector returns it. */
import type { Spread } from '../delivery/durations';
import type { Pause } from '../work/types';

/** Messages of an entry that wait at instances that do not know it. */
export interface UnservedView {
  readonly entry: string;
  readonly waiting: number;
  /** Number of instances that consume the queue and know the entry. Only these can start it. */
  readonly knownTo: number;
}

/**
 * The state of a queue. Messages wait in every state except `caught up`.
 * - `caught up`: no message waits.
 * - `working`: messages are being handled, or none of the other states applies.
 * - `growing`: clearly more messages are appended than settled, for at least 10 s within the last 30 s.
 * - `stuck`: an instance consumes the queue, but settles no message for 30 s, or one lane makes no progress.
 * - `no instance`: no instance consumes the queue.
 * - `paused`: no handler runs, and a setting keeps some entries from being started.
 * - `unserved`: no handler runs, and messages wait at instances that do not know their entry.
 * - `blocked`: no handler runs, and no waiting message can be read before an open transaction of another producer ends.
 */
export type QueueState =
  'caught up' | 'working' | 'growing' | 'stuck' | 'no instance' | 'paused' | 'unserved' | 'blocked';

/** The messages of a queue, counted, and the instances that handle them. */
export interface QueueView {
  /** The name of the queue, such as `photos.work` or `search.index`. */
  readonly queue: string;
  /** The module that handles its messages. */
  readonly module: string;
  /** The entries that a named listener listens to; empty for a work queue. */
  readonly listensTo: readonly string[];
  readonly state: QueueState;
  /** Number of messages up to the end of the log that are neither settled nor being handled. */
  readonly waiting: number;
  /** False when the count is not exact: `waiting` is then a lower bound, unless `about` is true. */
  readonly exact: boolean;
  /**
   * True when not all messages were read and the log can have gaps. `waiting` is then an upper bound, and usually
   * close.
   */
  readonly about: boolean;
  /** Upper bound of the waiting messages that cannot be read before an open transaction of another producer ends. */
  readonly blocked: number;
  readonly running: number;
  /** Maximum number of running handlers, of all instances that consume it; null when they do not report it. */
  readonly limit: number | null;
  /** Messages that arrived in a second, of about the last minute; null when no instance reports it. */
  readonly inPerSecond: number | null;
  /** Messages that were handled or parked in a second, of about the last minute; null when no instance reports it. */
  readonly outPerSecond: number | null;
  /** Median and 99th percentile of the durations of its handlers; null when none has ended. */
  readonly handlerMs: Spread | null;
  /** Median and 99th percentile of the times from the log to the start of a handler; null when none has started. */
  readonly queueMs: Spread | null;
  /** Time until no message waits, at the rates of the last minute, in ms; null when it does not get shorter. */
  readonly emptyInMs: number | null;
  /** Number of waiting messages that failed and wait for another attempt. */
  readonly inBackoff: number;
  /** Age of the oldest unsettled message, in ms; null when there is none. */
  readonly oldestMs: number | null;
  readonly parked: number;
  /** The parked messages by entry and reason, the most frequent first, at most 5. */
  readonly parkedFor: readonly ParkedKind[];
  /** Number of instances that consume it now. */
  readonly instances: number;
  /** Names under which settings have paused all or part of the queue. */
  readonly paused: readonly string[];
  /** The pauses by settings, with the time of their end. */
  readonly pauses: readonly Pause[];
  /** Entries whose messages wait at instances that do not know them. */
  readonly unserved: readonly UnservedView[];
}

/** Parked messages of one entry with the same reason. Numbers and ids in the reason can differ. */
export interface ParkedKind {
  readonly entry: string;
  /** Reason of the newest of them. */
  readonly reason: string;
  readonly count: number;
  readonly newestMs: number;
}
/** The parked messages of a queue. */
export interface ParkedCount {
  readonly count: number;
  /** See {@link QueueView.parkedFor}. */
  readonly kinds: readonly ParkedKind[];
}
/** Unsettled messages of a queue that are of one kind: of one entry, key, partition, sender or instance. */
export interface QueueKind {
  /** The entry, key, topic and partition, or instance; empty for messages that have none. */
  readonly kind: string;
  readonly waiting: number;
  readonly running: number;
  /** Bytes of the bodies. */
  readonly bytes: number;
  /** Age of the oldest of them, in ms. */
  readonly oldestMs: number;
  /** Id of the oldest of them. */
  readonly first: string;
}
/** The messages of a queue by kind. */
export interface QueueByView {
  readonly queue: string;
  /** The kinds, those with the most waiting messages first. */
  readonly kinds: readonly QueueKind[];
  /** Number of messages that belong to further kinds than the 100,000 that are counted. */
  readonly others: number;
  /** False when messages cannot be read, or the count was ended early. */
  readonly exact: boolean;
}
