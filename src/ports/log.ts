/**
 * Port of a partitioned log that processes share: append, tail, groups with fencing, and inspection. Implementations:
 * embedded, memory, kafka.
 */
import type { Closable } from '../base/lifecycle';
import type { Place } from './place';

export type { Place } from './place';
export { OutOfRangeError, partlyFailed, PartialAppendError, PartitionLostError } from './log-errors';

/** A record to append. The log keeps key and value byte for byte, and distinguishes `null` from empty. */
export interface LogRecord {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  /** A few headers: `bus` holds the envelope line, `traceparent` the trace. Foreign producers can send any or none. */
  readonly headers: Readonly<Record<string, string>>;
}
/**
 * A record read from the log. It is a copy, so it stays valid after its receive buffer is reused. `timeMs` is the time
 * at which the log accepted it, in ms since 1970.
 */
export interface Stored extends LogRecord, Place {
  readonly timeMs: number;
}
/** A record to append, and the partition that it is appended to. */
export interface Append extends LogRecord {
  readonly partition: number;
}

/** Options of {@link Log.append}. */
export interface AppendOptions {
  /**
   * True if the caller never changes the records and their bytes again. The log can then keep them without a copy.
   *
   * @default false
   */
  readonly isImmutable?: boolean;
}

/** A topic and its settings, as the code requires them. */
export interface Topic {
  readonly name: string;
  /** Number of partitions. */
  readonly partitions: number;
  /** True if the log keeps only the newest record of each key. A null value is a tombstone. */
  readonly compacted: boolean;
  /**
   * Retention: time for which records are kept after they were appended, in ms. With null the log keeps records until
   * they are trimmed. See {@link Log.holdsUnread} for records that a group has not read within this time.
   */
  readonly keepMs: number | null;
}
/**
 * Offsets of a partition that can be read: `start` is the first existing offset, `end` the first that does not exist
 * yet.
 */
export interface Bounds {
  readonly partition: number;
  readonly start: number;
  readonly end: number;
  /**
   * The offset that the next record gets, if it is higher than `end`. Records from `end` on cannot be read until an
   * open transaction of another producer ends.
   */
  readonly high?: number;
}
/** An open transaction of another producer. Readers receive no record of its partition from its offset on. */
export interface OpenTransaction extends Place {
  /** The transactional id, or null if the user is not authorized to read it. */
  readonly id: string | null;
  readonly producerId: number;
  readonly epoch: number;
  /** When the transaction began, in ms since 1970. Null if the user is not authorized to read it. */
  readonly sinceMs: number | null;
  /** Time after `sinceMs` at which its coordinator aborts it, in ms. Null like `sinceMs`. */
  readonly timeoutMs: number | null;
  /** The command with which an operator aborts the transaction. */
  readonly abort: string;
}
/** Progress of a group on a partition: the watermark (`offset`) and the owner's own state. One step writes both. */
export interface Commit {
  readonly offset: number;
  readonly state: Uint8Array;
}

/**
 * A partition while this member owns it. After the member has lost it, `read` and `commit` reject with a
 * {@link PartitionLostError}, and `check` throws it.
 */
export interface OwnedPartition {
  readonly partition: number;
  /** The epoch of this ownership. It rises with each owner, and fences the commits of earlier owners. */
  readonly epoch: number;
  /**
   * The last commit of the previous owner, or null if the group has no commit yet. The owner then starts at the start
   * of the log.
   */
  readonly committed: Commit | null;
  /**
   * Aborts with a {@link PartitionLostError} when the member lost the partition without a {@link Owner.onRevoked}. No
   * commit succeeds after that.
   */
  readonly lost: AbortSignal;
  /**
   * Returns records from offset `from` on, in order.
   *
   * Resolves as soon as at least one record exists. It returns at most `max.messages` records and about `max.bytes`
   * bytes; the first record can be larger. Resolves to `[]` only when `signal` aborts.
   *
   * Rejects with {@link OutOfRangeError} when the records at `from` no longer exist: the log was trimmed past `from`,
   * or ends before it. A log on servers reports an end before `from` only when it is certain, which takes seconds.
   * Rejects with {@link PartitionLostError} when this member no longer owns the partition.
   */
  read(from: number, max: ReadMax, signal: AbortSignal): Promise<readonly Stored[]>;
  /**
   * Throws a {@link PartitionLostError} when this member can have lost the partition, according to local knowledge.
   * Call it before each message is started: in a process that was suspended, timers fire too late to report the loss.
   */
  check(): void;
  /**
   * Commits the group's progress on the partition.
   *
   * Resolves when the commit is durable. The write and the check that this member still owns the partition are one
   * step. Rejects with {@link PartitionLostError} when the member no longer owns it, and with TooLarge when `state`
   * exceeds {@link Log.stateBytesMax}.
   */
  commit(commit: Commit): Promise<void>;
  /** Failure of the last try of a pending commit that the log retries. Undefined if there is none. */
  readonly commitFailure?: string | undefined;
  /**
   * Reports entries that this member does not serve ({@link GroupOptions.serves}) and whose messages wait in the
   * partition. The partition moves to a member that serves one of them, if one exists. It does not move back while that
   * one is a member.
   */
  cannotServe(entries: readonly string[]): void;
}
/** Limits of one read: number of records, and bytes of their keys and values. */
export interface ReadMax {
  readonly messages: number;
  readonly bytes: number;
}

/** Callbacks of a group member for the partitions that it owns. */
export interface Owner {
  /**
   * Is called when a partition was assigned to this member. It must not throw. Calls for one partition never overlap an
   * `onRevoked` call for it.
   */
  onAssigned(owned: OwnedPartition): void;
  /**
   * Is called when a partition is revoked. The member finishes running messages and commits, and then resolves. No
   * other member owns the partition before that, and it is not assigned to this member again before that.
   */
  onRevoked(partition: number): Promise<void>;
}
/** Options of {@link Log.join}. */
export interface GroupOptions {
  /**
   * A member that sends no heartbeat for this time loses its partitions to other members, in ms.
   *
   * @default 10_000
   */
  readonly sessionMs?: number;
  /**
   * Entries whose messages this member handles; see {@link OwnedPartition.cannotServe}.
   *
   * @default undefined: the member does not declare its entries
   */
  readonly serves?: readonly string[];
}
/**
 * A membership in a group. `close` revokes every partition (see {@link Owner.onRevoked}) and leaves the group. Other
 * members are assigned the partitions immediately.
 */
export interface Member extends Closable {
  /** Name of this member, unique within the group. */
  readonly id: string;
}

/** A reader of every partition of a topic, without a group. */
export interface Tail extends Closable {
  /**
   * Returns the next records, in order per partition.
   *
   * Resolves as soon as at least one record exists. Resolves to `[]` only after `close`.
   *
   * Rejects with {@link OutOfRangeError} when the log was trimmed past the position, ends before it, or lost records
   * that were read. The next call continues at {@link OutOfRangeError.next}.
   */
  read(max: ReadMax): Promise<readonly Stored[]>;
}
/**
 * Start of a {@link Tail}: the first record of each partition, the end of each partition, or a position per partition.
 */
export type TailFrom = 'start' | 'end' | readonly Place[];

/**
 * Start of a group: the first record of each partition, its end, or the first record whose `timeMs` is not below this
 * time. If there is none, the start is the end.
 */
export type GroupStart = 'start' | 'end' | number;

/** Committed progress of a group on one partition, and the current owner. */
export interface CommittedProgress extends Commit {
  readonly partition: number;
  /** Owner of the partition at the moment: its instance name if known. Null if no member owns it. */
  readonly owner: string | null;
}

/** A group and the topic that it reads. */
export interface GroupOfTopic {
  readonly group: string;
  readonly topic: string;
}

/**
 * A partitioned log. After `close`, methods that read or write reject with Closed. Methods that use a server reject
 * with Unreachable when it does not respond.
 */
export interface Log extends Closable {
  /**
   * Creates the topic unless it exists. A log without servers also raises the retention of an existing topic to
   * `keepMs`. On servers an operator changes it.
   *
   * Resolves with the actual settings of the topic. Rejects with Config if it has a different number of partitions.
   */
  ensure(topic: Topic): Promise<Topic>;
  /**
   * Appends records, in order, to their partitions.
   *
   * Resolves with the position of each record when all of them are durable. The log holds each record at most once,
   * even if it was resent on the way and even after the call has rejected.
   *
   * Rejects with Unreachable when the outcome is unknown, and with TooLarge when a record was refused before anything
   * was written. Rejects with {@link PartialAppendError} when some of several records were refused.
   *
   * Order: the records of one call to one partition stay in order, but other records can stand between them. Calls can
   * overlap: two calls to one partition are appended in the order of the calls.
   */
  append(topic: string, records: readonly Append[], options?: AppendOptions): Promise<readonly Place[]>;
  /**
   * Opens a reader of every partition of the topic. With 'end' it starts at the end as of some moment before the call
   * resolves, never later, so every record appended after that is read.
   */
  tail(topic: string, from: TailFrom): Promise<Tail>;
  /**
   * Joins the group, which then calls `owner` with the partitions that are assigned to this member. Resolves when the
   * member has joined.
   */
  join(group: string, topic: string, owner: Owner, options?: GroupOptions): Promise<Member>;
  /** Sets the start of a group on partitions for which it has no commit yet. It never moves an existing commit. */
  startGroup(group: string, topic: string, at: GroupStart): Promise<void>;
  /** Deletes a group and its commits on the topic. Rejects with Conflict while the group has members. */
  dropGroup(group: string, topic: string): Promise<void>;
  /** Allows the log to delete the records below offset `before`. */
  trim(topic: string, partition: number, before: number): Promise<void>;
  /**
   * Largest {@link Commit.state} that a commit accepts, in bytes. The value falls after a commit was refused with
   * TooLarge for its size. It can be 0.
   */
  readonly stateBytesMax: number;

  // Inspection: joins no group, moves no commit, creates no topic.
  /**
   * True if the log keeps records of a topic with `keepMs` beyond that time, until each group of the topic has read
   * them. At most `limits.heldEventBytesMax` bytes are kept. If false, expired records are deleted even if unread.
   */
  readonly holdsUnread: boolean;
  /**
   * True if every offset between the bounds has a record, except in compacted topics. Records then need not be counted.
   */
  readonly gapless: boolean;
  /** Returns the topics of this namespace. */
  topics(): Promise<readonly Topic[]>;
  /** Returns the readable offsets of each partition of the topic. */
  bounds(topic: string): Promise<readonly Bounds[]>;
  /**
   * Returns the bytes of the records of a topic that is not compacted. It reads counters, so it is cheap. Only logs
   * that can be the local log of a spool have it.
   */
  storedBytes?(topic: string): Promise<number>;
  /**
   * Returns open transactions that hide records of these partitions from readers. Logs without transactions return
   * `[]`.
   */
  openTransactions(topic: string, partitions: readonly number[]): Promise<readonly OpenTransaction[]>;
  /** Returns existing records from the position on, in order and without waiting. Resolves to `[]` at the end. */
  peek(topic: string, from: Place, max: ReadMax): Promise<readonly Stored[]>;
  /** Returns the groups for whose names `isWanted` returns true. Returns all groups if it is omitted. */
  groups(isWanted?: (group: string) => boolean): Promise<readonly GroupOfTopic[]>;
  /** Returns the committed progress of the group on each partition, and its owners. */
  committedOffsets(group: string, topic: string): Promise<readonly CommittedProgress[]>;
}
