/**
 * A partitioned log shared by processes: append, tail, groups with fencing, inspection. Makers: embedded, memory,
 * kafka.
 */
import { BusError } from '../base/errors';
import type { Closable } from '../base/lifecycle';

/** What is appended. Key and value are kept byte for byte; `null` is kept apart from empty. */
export interface LogRecord {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  /** Few: `bus` is the envelope line, `traceparent` the trace. Foreign producers may send any or none. */
  readonly headers: Readonly<Record<string, string>>;
}
/** Where a record is. Offsets of a partition rise from 0, and may have gaps. */
export interface Place {
  readonly partition: number;
  readonly offset: number;
}
/**
 * A record read back: a copy, so it stays valid after the buffer it came in is gone. `timeMs` is when the log took it.
 */
export interface Stored extends LogRecord, Place {
  readonly timeMs: number;
}
export interface Append extends LogRecord {
  readonly partition: number;
}

/** A topic as the code wants it. */
export interface Topic {
  readonly name: string;
  readonly partitions: number;
  /** Keeps the newest record of each key only; a null value is a tombstone. */
  readonly compacted: boolean;
  /**
   * How long records are kept after they were appended, in ms; null keeps them until they are trimmed. See
   * {@link Log.holdsUnread} for records that a group has not read by then.
   */
  readonly keepMs: number | null;
}
/** First offset that is still there, and the first that readers wait for. */
export interface Bounds {
  readonly partition: number;
  readonly start: number;
  readonly end: number;
  /**
   * The offset that the next record will get, where it is higher than `end`: what is between cannot be read before an
   * open transaction of another producer ends.
   */
  readonly high?: number;
}
/** A transaction of another producer that is open: nothing is read of its partition from its offset on. */
export interface OpenTransaction extends Place {
  /** The transactional id; null where the user cannot see it. */
  readonly id: string | null;
  readonly producerId: number;
  readonly epoch: number;
  /** When it began, and after how long its coordinator aborts it; null where the user cannot see it. */
  readonly sinceMs: number | null;
  readonly timeoutMs: number | null;
  /** The command with which an operator aborts it. */
  readonly abort: string;
}
/**
 * How far a group has come on a partition: the watermark, and what else its owner keeps with it, written in one step.
 */
export interface Commit {
  readonly offset: number;
  readonly state: Uint8Array;
}

/** A partition while this member owns it. All calls reject with a LostError once it does not. */
export interface Owned {
  readonly partition: number;
  /** Rises with each owner. */
  readonly epoch: number;
  /** What the owner before committed last; null if nobody ever did (start at the start of the log). */
  readonly committed: Commit | null;
  /** Aborts with a {@link LostError} when it was lost without being given: nothing can be committed any more. */
  readonly lost: AbortSignal;
  /**
   * Records from `from` on, in order, at least one; waits until there is one. At most `max.messages` and about
   * `max.bytes` (one record may be larger). Resolves to [] only when `signal` aborts.
   * Rejects with OutOfRangeError when there is nothing at `from`, and never will be what was there: the log was trimmed
   * past it, or ends before it. A log on servers says the latter only when it is certain, seconds later.
   */
  read(from: number, max: ReadMax, signal: AbortSignal): Promise<readonly Stored[]>;
  /**
   * Throws when this member may have lost it, as far as it can know: to be asked before anything is started, since
   * timers are late in a process that stood still.
   */
  check(): void;
  /** Resolves when it is durable and this member still owned the partition in that very step. */
  commit(commit: Commit): Promise<void>;
  /**
   * Reports entries whose messages wait in the partition and that this member does not serve (`GroupOptions.serves`).
   * The partition moves to a member that serves one of them, if there is one, and not back while that one is a member.
   */
  cannotServe(entries: readonly string[]): void;
}
export interface ReadMax {
  readonly messages: number;
  readonly bytes: number;
}

/** What a member of a group does with its partitions. */
export interface Owner {
  /** A partition is this member's. Must not throw; calls for one partition never overlap a `give` of it. */
  take(owned: Owned): void;
  /**
   * It must move: finish what runs, commit, then resolve; only then does anybody else get it. The partition cannot come
   * back before.
   */
  give(partition: number): Promise<void>;
}
export interface GroupOptions {
  /** After this long without a sign of life a member's partitions go to others. Default 10,000 ms. */
  readonly sessionMs?: number;
  /** Entries whose messages this member handles; see {@link Owned.cannotServe}. Default: it does not state any. */
  readonly serves?: readonly string[];
}
export interface Member extends Closable {
  /** This member's name within the group. */
  readonly id: string;
  /** `close` gives all partitions (see {@link Owner.give}) and leaves; others take them at once. */
}

/** Reads every partition of a topic without a group. */
export interface Tail extends Closable {
  /**
   * The next records, at least one, in order per partition; [] only after close. Rejects with OutOfRangeError where the
   * log was trimmed past it, ends before it, or has lost what was read; reading on continues where that says.
   */
  read(max: ReadMax): Promise<readonly Stored[]>;
}
export type TailFrom = 'start' | 'end' | readonly Place[];

export interface GroupPlace extends Commit {
  readonly partition: number;
  /** Who owns it now, by instance name where known. */
  readonly owner: string | null;
}

export interface GroupOfTopic {
  readonly group: string;
  readonly topic: string;
}

export interface Log extends Closable {
  /**
   * Creates the topic if it is not there. Resolves with what is really there; a difference in partitions is a Config
   * error.
   */
  ensure(topic: Topic): Promise<Topic>;
  /**
   * Appends in order, durable when it resolves; records of one call to one partition are neighbours in no promised way
   * but in order. Calls overlap freely: two calls to one partition land in the order of the calls. The log holds each
   * record at most once, whatever is resent on the way, also after the call has rejected. Rejects with
   * Unreachable when the outcome is unknown, with TooLarge when a record was refused before anything was written, with
   * a {@link PartlyError} when some of several were refused.
   */
  append(topic: string, records: readonly Append[]): Promise<readonly Place[]>;
  /** From 'end' is the end at the moment of the call's resolution or before, never after. */
  tail(topic: string, from: TailFrom): Promise<Tail>;
  join(group: string, topic: string, owner: Owner, options?: GroupOptions): Promise<Member>;
  /** Sets where a group starts on partitions where it has no commit yet; never moves one that has. */
  startGroup(group: string, topic: string, at: 'start' | 'end'): Promise<void>;
  /** Forgets a group and its places on the topic. Rejects with Conflict while it has members. */
  dropGroup(group: string, topic: string): Promise<void>;
  /** Records below `before` may go. */
  trim(topic: string, partition: number, before: number): Promise<void>;
  /**
   * The largest `Commit.state` that a commit takes, in bytes; smaller after a commit was refused with TooLarge for its
   * size. Can be 0.
   */
  readonly stateBytesMax: number;

  // Looking: joins nothing, moves nothing, creates nothing.
  /**
   * Whether records of a topic with `keepMs` stay beyond that time until each group of the topic has read them, up to
   * `limits.heldEventBytesMax`. False: they go, whatever is unread.
   */
  readonly holdsUnread: boolean;
  /** Whether each offset between the bounds has a record, but for compacted topics: then none need be counted. */
  readonly gapless: boolean;
  topics(): Promise<readonly Topic[]>;
  bounds(topic: string): Promise<readonly Bounds[]>;
  /** Transactions that keep readers of these partitions from records; [] for logs that have none. */
  openTransactions(topic: string, partitions: readonly number[]): Promise<readonly OpenTransaction[]>;
  /** Records that are there now from `from` on; [] at the end. */
  peek(topic: string, from: Place, max: ReadMax): Promise<readonly Stored[]>;
  /** Those of which `isWanted` says so; all without it. */
  groups(isWanted?: (group: string) => boolean): Promise<readonly GroupOfTopic[]>;
  places(group: string, topic: string): Promise<readonly GroupPlace[]>;
}

/** This member does not own the partition (any more): somebody else may be working on it. */
export class LostError extends Error {
  override readonly name = 'LostError';
  constructor(
    readonly group: string,
    readonly partition: number,
    readonly reason: string,
  ) {
    super(`partition ${partition} of ${group} is no longer ours: ${reason}`);
  }
}
/** Of an append of several records these were refused, by their places in it; all others are in the log. */
export class PartlyError extends BusError {
  constructor(
    first: BusError,
    readonly failed: ReadonlyMap<number, BusError>,
    count: number,
  ) {
    const said = `${failed.size} of ${count} were not taken, the others are in the log: ${first.message}`;
    super(first.code, said, first.details, first, first.remedy);
  }

  /** What became of these records of it, as if they had been appended alone: undefined if all are in the log. */
  of(from: number, count: number): BusError | undefined {
    const mine = [...this.failed].filter(([place]) => place >= from && place < from + count);
    return partlyFailed(new Map(mine.map(([place, error]) => [place - from, error])), count);
  }
}
/** The error of an append of `count` records of which these failed, if any did. */
export function partlyFailed(failed: ReadonlyMap<number, BusError>, count: number): BusError | undefined {
  const [first] = failed.values();
  return first && count > 1 ? new PartlyError(first, failed, count) : first;
}

/**
 * Records that were asked for are gone. Without `end`: `from` up to but without `start`. With it, the log has lost what
 * it had from `end` on, although it was acknowledged and maybe read; what comes from there on is new.
 */
export class OutOfRangeError extends Error {
  override readonly name = 'OutOfRangeError';
  constructor(
    readonly topic: string,
    readonly partition: number,
    readonly from: number,
    readonly start: number,
    readonly end?: number,
  ) {
    const [first, last] = end === undefined ? [from, start - 1] : [end, from - 1];
    const why = end === undefined ? `the log starts at ${start}` : `the log ended at ${end}`;
    super(`${topic}/${partition}: offsets ${first} to ${last} are gone, ${why}`);
  }

  /** Where to read on. */
  get next(): number {
    return this.end ?? this.start;
  }
}
