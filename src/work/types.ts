/** What the work engine takes and gives: a queue, who handles its entries, and what can be seen of it. */
import type { Capacity } from '../base/bounded';
import type { Clock, Random } from '../base/clock';
import type { Closable } from '../base/lifecycle';
import type { Notices } from '../base/notices';
import type { AnyEntry, RetryKind } from '../contract/types';
import type { Peer, Scopes } from '../delivery/context';
import type { DeliverParts, Run } from '../delivery/deliver';
import type { Log, Topic } from '../ports/log';
import type { MakeFilter } from './progress/duplicate-filter';
import type { RetainedPartitions } from './progress/retained';
import type { MakeUnkept } from './progress/unkept';
import type { MakeWatermark } from './progress/watermark';

/** What surrounds a taken queue. The functions named `make…` exist so that a simulator can plant bugs. */
export interface TakeParts extends DeliverParts {
  readonly log: Log;
  readonly random: Random;
  readonly self: Peer;
  /** The module's own version, kept with what is parked. */
  readonly version: string;
  /** Longest time between a settling and its commit while the partition is busy, in ms. Default 500. */
  readonly commitMs?: number;
  readonly makeWatermark?: MakeWatermark;
  readonly makeFilter?: MakeFilter;
  /** Of this process: it outlives each taking of a queue. Default: none is known. */
  readonly retained?: RetainedPartitions;
  readonly makeUnkept?: MakeUnkept;
  /** Messages in memory, of all queues of this instance. Default: of this queue alone. */
  readonly buffered?: Capacity;
}

/** How a failed message comes back. Defaults: 8 attempts, 'in-order', 1,000 ms, 30,000 ms. */
export interface RetryOptions {
  readonly attempts?: number;
  readonly retry?: RetryKind;
  readonly backoffMs?: number;
  readonly longestMs?: number;
}
/** Who handles an entry. `options` defaults to those the entry was declared with; a listener gives its own. */
export interface Handling {
  readonly entry: AnyEntry;
  readonly run: Run;
  readonly options?: RetryOptions;
}
/** How much of an entry this instance does at once, over all its partitions. */
export interface EntryLimits {
  /** Handlers that run side by side, from 1; 0 while it is paused, when nothing starts. Default 8. */
  readonly concurrency: number;
  /** Handlers started in a second, default Infinity. A second's worth may start at once after a pause. */
  readonly perSecond: number;
}

export interface Queue {
  /** For people: 'photos.work', 'search.index'. */
  readonly name: string;
  readonly topic: Topic;
  readonly group: string;
  readonly parkedTopic: Topic;
  /** By the entry's full name, 'photos.resize'. */
  readonly entries: ReadonlyMap<string, Handling>;
  /** What becomes of entries that are not in the map: a work queue holds their lane, a listener settles them unread. */
  readonly other: 'hold' | 'skip';
  /** Asked when it is taken, and at each `review`. */
  readonly limits?: (entry: string) => Partial<EntryLimits>;
  /** As `limits`; over what the handling says. */
  readonly retry?: (entry: string) => Pick<RetryOptions, 'attempts' | 'backoffMs'>;
  /** Where a group that is new starts. Default 'start'. */
  readonly from?: 'start' | 'end';
  /** See GroupOptions.sessionMs. */
  readonly sessionMs?: number;
  /** Settled records of a topic that keeps them until trimmed go after this long, in ms. Default 7 days. */
  readonly keepMs?: number;
}

/** A handler call that goes on now. */
export interface Running {
  readonly id: string;
  readonly entry: string;
  readonly key: string | null;
  readonly attempt: number;
  readonly sinceMs: number;
  /** What the handler's `progress` said last. */
  readonly note: string;
  readonly partition: number;
  readonly offset: number;
}
export interface QueueStats {
  /** Messages in memory that neither run nor wait for another attempt. */
  readonly waiting: number;
  readonly inBackoff: number;
  readonly running: readonly Running[];
  readonly partitions: readonly number[];
  /** Since this instance took the queue: attempts that ended well, attempts that did not, messages set aside. */
  readonly handled: number;
  readonly failed: number;
  readonly parked: number;
  /** Entries of which nothing is started. */
  readonly paused: readonly string[];
  /** Entries that it handles. */
  readonly entries: readonly string[];
  /** Those that it does not, as far as their messages came to it. */
  readonly unserved: readonly Unserved[];
}
/** Messages of an entry that this instance does not know: they and what comes after them under their keys wait. */
export interface Unserved {
  readonly entry: string;
  readonly waiting: number;
  /** Since when the first of them does, in milliseconds since 1970. */
  readonly sinceMs: number;
}
/** A queue that this instance works on. `close` gives its partitions: what runs ends, what is settled is committed. */
export interface TakenQueue extends Closable {
  stats(): QueueStats;
  /** Whether a handler runs, or is about to be started without anything else having to happen. */
  readonly busy: boolean;
  /**
   * Asks the queue's `limits` and `retry` again: they hold for the next message that starts, and for the next attempt
   * that fails.
   */
  review(): void;
  /** Closing waits no longer for handlers that run: their signals abort, and their messages come again elsewhere. */
  hurry(): void;
}

/** What a sender of durable messages needs. */
export interface SenderParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
  readonly scopes: Scopes;
  readonly log: Log;
  readonly self: Peer;
  /** Namespace of all topics. */
  readonly ns: string;
  /** This life of the bus, the first half of every stamp: one sender for each. */
  readonly incarnation: string;
  /** What an append to this log means: 'disk' survives this machine's restart, 'broker' its loss. */
  readonly reached: Submitted['reached'];
  /** Largest body, in bytes. Default: limits.messageBytesMax. */
  readonly messageBytesMax?: number;
  /** Called before the first event of this sender for a topic. */
  readonly publishes?: (topic: string) => void;
  /** Levels of a body. Default: limits.bodyDepthMax. */
  readonly bodyDepthMax?: number | undefined;
  /** How long the events topic keeps what was told, in ms, when this creates it. Default 7 days. */
  readonly keepMs?: number;
}
export interface Submitted {
  readonly id: string;
  readonly reached: 'disk' | 'broker';
}
/** Sends work and events of one bus, in the order of the calls. `close` waits for what is under way. */
export interface Sender extends Closable {
  /**
   * Resolves when all of `inputs` are safe, one answer each. Messages of one turn of the event loop and one topic go
   * in one append. Rejects with Invalid, TooLarge, Overloaded or Closed (nothing was sent), or with Unreachable, whose
   * `details.outcome` says whether it can have been. With `how` 'list', errors name the body that failed.
   */
  send(entry: AnyEntry, inputs: readonly unknown[], how?: 'one' | 'list'): Promise<readonly Submitted[]>;
}
