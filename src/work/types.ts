/** Types of the work engine: a queue, the handlers of its entries, and its statistics. */
import type { Capacity } from '../base/bounded';
import type { Clock, Random } from '../base/clock';
import type { Closable } from '../base/lifecycle';
import type { Notices } from '../base/notices';
import type { AnyEntry, RetryKind } from '../contract/types';
import type { Peer, Scopes } from '../delivery/context';
import type { DeliverParts, Run } from '../delivery/deliver';
import type { MakeIdWindow } from '../delivery/id-window';
import type { HandlerLimits } from '../delivery/limiter';
import type { Outgoing } from '../delivery/outgoing';
import type { GroupStart, Log, Topic } from '../ports/log';
import type { Outbox } from '../ports/outbox';
import type { HeldMessage, Skipped } from './held-message';
import type { GivenIds } from './ids/call-ids';
import type { MakeFilter } from './progress/duplicate-filter';
import type { RetainedPartitions } from './progress/retained';
import type { MakeUnkept } from './progress/unkept';
import type { MakeWatermark } from './progress/watermark';

/** Dependencies of a consumed queue. The functions named `make…` exist so that the simulator can plant bugs. */
export interface ConsumerParts extends DeliverParts {
  readonly log: Log;
  readonly random: Random;
  readonly self: Peer;
  /** Version of the module, stored with parked messages. */
  readonly version: string;
  /** Maximum time between a settling and its commit while the partition is busy, in ms. Default 500. */
  readonly commitMs?: number;
  readonly makeWatermark?: MakeWatermark;
  readonly makeFilter?: MakeFilter;
  readonly makeIdWindow?: MakeIdWindow;
  /** Progress that outlives each consumption of the queue in this process. Default: none is known. */
  readonly retained?: RetainedPartitions;
  readonly makeUnkept?: MakeUnkept;
  /** Capacity for messages in memory, shared by all queues of this instance. Default: for this queue alone. */
  readonly buffered?: Capacity;
}

/** Retry policy of failed messages. Defaults: 8 attempts, 'in-order', 1,000 ms, 30,000 ms. */
export interface RetryOptions {
  readonly attempts?: number;
  readonly retry?: RetryKind;
  readonly backoffMs?: number;
  readonly handoverMs?: number;
}
/** Handler of an entry. `options` defaults to the options of the entry's declaration; a listener sets its own. */
export interface Handling {
  readonly entry: AnyEntry;
  readonly run: Run;
  readonly options?: RetryOptions;
}
/** A pause by a setting. */
export interface Pause {
  /** Name of the entry, listener or queue whose setting causes it. */
  readonly name: string;
  /** Time of its end, in ms since 1970; null if it has to be removed. */
  readonly untilMs: number | null;
}
/** Limits of an entry in this instance, over all its partitions. */
export interface EntryLimits {
  /** Maximum number of handlers that run concurrently. 0 pauses the entry, so that no handler starts. Default 8. */
  readonly concurrency: number;
  /**
   * Maximum number of handlers started in a second, default Infinity. After a pause, one second's worth can start at
   * once.
   */
  readonly perSecond: number;
  /** The pause that sets `concurrency` to 0, if there is one. */
  readonly pause?: Pause;
}

export interface Queue {
  /** Name for display: 'photos.work', 'search.index'. */
  readonly name: string;
  readonly topic: Topic;
  readonly group: string;
  readonly parkedTopic: Topic;
  /** Handlers by the full name of their entry, 'photos.resize'. */
  readonly entries: ReadonlyMap<string, Handling>;
  /** Treatment of entries that are not in the map: a work queue holds their lane, a listener settles them unread. */
  readonly other: 'hold' | 'skip';
  /** Returns the current limits. Called when the queue is consumed, and at each `applyLimits`. */
  readonly limits?: (entry: string) => Partial<EntryLimits>;
  /** Returns the current retry options, which override those of the handler. Called like `limits`. */
  readonly retry?: (entry: string) => Pick<RetryOptions, 'attempts' | 'backoffMs'>;
  /** Start of a new group. Default: the start of the log, as of the time at which a partition is first assigned. */
  readonly from?: GroupStart;
  /** See GroupOptions.sessionMs. */
  readonly sessionMs?: number;
  /** Time after which settled records are trimmed, in a topic without a retention of its own, in ms. Default 7 days. */
  readonly keepMs?: number;
}

/** A handler call that is running now. */
export interface Running {
  readonly id: string;
  readonly entry: string;
  readonly key: string | null;
  readonly attempt: number;
  /** Number of attempts after which the message is parked. */
  readonly attemptsMax?: number;
  /** Instance that sent the message. Undefined if the record does not contain it. */
  readonly from?: string | undefined;
  readonly sinceMs: number;
  /** Last text that the handler passed to `progress`. */
  readonly note: string;
  readonly partition: number;
  readonly offset: number;
  /** Time at which the first attempt failed in this instance, in ms since 1970. Unset if none has failed. */
  readonly failedSinceMs?: number;
}
/** Messages of a queue that arrived and were settled at one instance, and its conditions. */
export interface QueueLoad {
  /** Time that the counts cover, in ms: about a minute, or the time since this instance consumes the queue. */
  readonly windowMs: number;
  /** Messages that were appended to the partitions that this instance owns. */
  readonly in: number;
  /** Messages that this instance settled: handled or parked. */
  readonly out: number;
  /** Set while clearly more messages arrive than are settled. */
  readonly growing: Condition | null;
  /** Set while messages wait and none is settled. */
  readonly stuck: Condition | null;
}
/** A condition of a queue. It begins after it has held for a while, and ends 30 s after it last held. */
export interface Condition {
  /** Time since which it holds, in ms since 1970. */
  readonly sinceMs: number;
  /** Time at which it last held, in ms since 1970. */
  readonly heldMs: number;
}
/** A message whose last attempt failed, and that waits for the next one. */
export interface Retrying {
  readonly id: string;
  readonly entry: string;
  readonly key: string | null;
  readonly attempts: number;
  /** Time at which the first of these attempts ended in this instance, in ms since 1970. */
  readonly sinceMs: number;
  /** Error of the last attempt. */
  readonly error: string;
  readonly partition: number;
  readonly offset: number;
}
/** State and counts of a queue at one instance. */
export interface QueueStats {
  /** Messages in memory that neither run nor wait for another attempt. */
  readonly waiting: number;
  readonly inBackoff: number;
  readonly running: readonly Running[];
  readonly partitions: readonly number[];
  /** Counts since this instance consumes the queue: successful attempts, failed attempts, parked messages. */
  readonly handled: number;
  readonly failed: number;
  readonly parked: number;
  /** Entries with a concurrency of 0, so that no handler of them starts. */
  readonly paused: readonly string[];
  /** The pauses of these entries, one for each setting. */
  readonly pauses?: readonly Pause[];
  /** Entries that this instance handles. */
  readonly entries: readonly string[];
  /** Entries that this instance does not handle, if it has read messages of them. */
  readonly unserved: readonly Unserved[];
  /** Rates and conditions. Instances of earlier versions do not report them, nor the fields below. */
  readonly load?: QueueLoad;
  readonly limits?: readonly HandlerLimits[];
  /** Messages in backoff, those that have failed for the longest time first, at most 100. */
  readonly retrying?: readonly Retrying[];
}
/** Messages of an entry that this instance does not handle. They wait, and so do later messages of their keys. */
export interface Unserved {
  readonly entry: string;
  readonly waiting: number;
  /** Time since which the first of them waits, in milliseconds since 1970. */
  readonly sinceMs: number;
}
/** Messages of a queue at one instance, for metrics. */
export interface QueueBacklog {
  /** Messages in memory and in the log that neither run nor wait for another attempt, of its partitions. */
  readonly waiting: number;
  /** Age of the oldest message that is not settled, in ms; null without one. */
  readonly oldestMs: number | null;
  readonly entries: readonly EntryLoad[];
}
/** Handlers of an entry at one instance. */
export interface EntryLoad {
  readonly entry: string;
  readonly running: number;
  /** Maximum number of running handlers; 0 pauses the entry. */
  readonly limit: number;
  /** Messages that wait for another attempt. */
  readonly inBackoff: number;
}
/**
 * A queue that this instance consumes. `close` releases its partitions: running handlers end, and settled messages are
 * committed.
 */
export interface QueueConsumer extends Closable {
  stats(): QueueStats;
  /** Returns the messages in memory whose id begins with `idStart`, at most 20. It visits every message in memory. */
  held(idStart: string): readonly HeldMessage[];
  /**
   * Parks messages instead of handling them: those in memory now, those that run when their handlers have ended without
   * success, and others as soon as they are read. Signals of running handlers abort.
   */
  skip(ids: readonly string[], reason: string): readonly Skipped[];
  /** Returns the backlog. It reads the log, and uses only what is in memory if the log does not respond. */
  backlog(): Promise<QueueBacklog>;
  /** True when a handler runs, or is about to start without any further event. */
  readonly busy: boolean;
  /**
   * Rereads the queue's `limits` and `retry`. They apply to the next message that starts, and to the next attempt that
   * fails.
   */
  applyLimits(): void;
  /** Stops waiting for running handlers while closing. Their signals abort, and their messages are redelivered. */
  abortRunning(): void;
}

/** Dependencies of a sender of durable messages. */
export interface SenderParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
  readonly scopes: Scopes;
  readonly log: Log;
  readonly self: Peer;
  /** Namespace of all topics. */
  readonly ns: string;
  /** Identity of this run of the bus, the first half of every stamp. Each run has exactly one sender. */
  readonly incarnation: string;
  /** Durability of an append to this log: 'disk' survives a restart of this machine, 'broker' survives its loss. */
  readonly reached: Submitted['reached'];
  /** Spool in front of the log. Default: messages are appended to the log. */
  readonly spool?: Outbox | undefined;
  /** Largest body, in bytes. Default: limits.messageBytesMax. */
  readonly messageBytesMax?: number;
  /** Called before the first event of this sender to a topic. */
  readonly publishes?: (topic: Topic) => void;
  /** Maximum nesting depth of a body. Default: limits.bodyDepthMax. */
  readonly bodyDepthMax?: number | undefined;
  /** Retention of the events topic, in ms, used when this sender creates it. Default 7 days. */
  readonly keepMs?: number;
  /** Counts messages by their outcome. Default: they are not counted. */
  readonly outgoing?: Outgoing | undefined;
}
/** Position of a message in the log. */
export interface MessagePlace {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}
export interface Submitted {
  readonly id: string;
  readonly reached: 'disk' | 'broker';
  readonly place?: MessagePlace;
}
/** Options of a call. Undefined ones are not set. */
export interface SendOptions {
  /** Ids that the caller gives to the messages. */
  readonly ids?: GivenIds | undefined;
  /** Durability that the call needs. */
  readonly until?: 'disk' | 'broker' | undefined;
  /** Time for which the call waits for the servers, in ms. Default 5,000. */
  readonly timeoutMs?: number | undefined;
}
/** Sends work and events of one bus, in the order of the calls. `close` waits for the messages in flight. */
export interface Sender extends Closable {
  /**
   * Resolves when the log has acknowledged all of `inputs`, with one result each. Messages to one topic in one turn of
   * the event loop share an append. Rejects with Invalid, TooLarge, Overloaded or Closed (nothing was sent), or with
   * Unreachable. The `details.outcome` of Unreachable reports whether the messages can have been sent. With `how`
   * 'list', errors name the message that failed. `ids` are the ids that the caller gives to the messages. Rejects with
   * Invalid for an id that no envelope can have, with Conflict for one that was given to another body,
   * and with the error that `ids` throws. Nothing was sent then.
   */
  send(
    entry: AnyEntry,
    inputs: readonly unknown[],
    how?: 'one' | 'list',
    options?: SendOptions,
  ): Promise<readonly Submitted[]>;
  /**
   * Returns the last place of this sender in each partition that it has written, by topic and partition. With a spool
   * it waits until the servers have all messages that were appended before the call.
   */
  lastPlaces(): Promise<readonly MessagePlace[]>;
}
