/** What an inspector shows: queues, instances and messages as plain values. Times are milliseconds since 1970. */
import type { Clock, Random } from '../base/clock';
import type { Bus } from '../bus/types';
import type { InstanceStatus } from '../bus/self-contract';
import type { Decoded } from '../format/codec';
import type { Log } from '../ports/log';
import type { Registry } from '../ports/registry';
import type { Attempt } from '../work/message';
import type { Stub } from '../work/parked/park';
import type { Mended } from '../work/parked/replay';

export interface InspectorParts {
  readonly log: Log;
  readonly registry: Registry;
  /** Asks the instances what they do now. */
  readonly bus: Pick<Bus, 'self' | 'request'>;
  /** Namespace of the topics to look at. */
  readonly ns: string;
  readonly clock: Clock;
  readonly random: Random;
  /** How long an instance may take to answer, in ms. Default 2,000. */
  readonly answerMs?: number;
  /** Records that one call reads at most before it ends with StoppedEarly. Default 1,000,000. */
  readonly scanMax?: number;
}

export interface InstanceView {
  readonly name: string;
  readonly module: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly sinceMs: number;
  readonly leaving: boolean;
  /** Contracts it serves, with their fingerprints. */
  readonly serves: Readonly<Record<string, string>>;
  /** What it says of itself; null when it did not answer. */
  readonly status: InstanceStatus | null;
  /** Why it did not. */
  readonly silent: string | null;
}

/** Messages of an entry that wait at instances that do not know it. */
export interface UnservedView {
  readonly entry: string;
  readonly waiting: number;
  /** Instances that take the queue and know it; none of the others will ever start it. */
  readonly knownTo: number;
}

/**
 * nobody: messages wait and no instance takes them · stuck: nothing goes on although somebody takes them · paused:
 * nothing runs, and a setting says that nothing of some entries is to be started · unserved: nothing runs, and messages
 * wait at instances that do not know their entry · blocked: nothing runs, and none can be read before an open
 * transaction of another producer ends.
 */
export type QueueState = 'caught up' | 'working' | 'growing' | 'stuck' | 'nobody' | 'paused' | 'unserved' | 'blocked';

export interface QueueView {
  /** `photos.work`, `search.index` */
  readonly queue: string;
  /** Who handles it. */
  readonly module: string;
  /** The entry that a named listener listens to; a work queue has many. */
  readonly listensTo: readonly string[];
  readonly state: QueueState;
  /** Messages that are neither settled nor being handled, counted to the end of the log. */
  readonly waiting: number;
  /** False when counting stopped early: then there are at least so many, unless it is `about`. */
  readonly exact: boolean;
  /** Too many to read them all, in a log that may have gaps: then there are at most so many, and hardly ever fewer. */
  readonly about: boolean;
  /** Of those that wait: they cannot be read before an open transaction of another producer ends; at most so many. */
  readonly blocked: number;
  readonly running: number;
  /** Of those that wait: they failed, and wait for another attempt. */
  readonly inBackoff: number;
  /** Age of the oldest unsettled message, in ms; null when there is none. */
  readonly oldestMs: number | null;
  readonly parked: number;
  /** Instances that take it now. */
  readonly instances: number;
  /** The names under which settings have paused some or all of it. */
  readonly paused: readonly string[];
  /** Entries whose messages wait at instances that do not know them. */
  readonly unserved: readonly UnservedView[];
}

export interface MessageView {
  readonly id: string;
  /** Empty when the record does not say. */
  readonly entry: string;
  readonly kind: string;
  /** The sending instance; empty when the record does not say. */
  readonly from: string;
  /** As text, or as 0x… when it is none. */
  readonly key: string | null;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** When the log took it. */
  readonly timeMs: number;
  readonly sentMs: number | null;
  /** How often it was replayed by hand. */
  readonly replay: number;
  /** The id of the message that was being handled when this one was sent. */
  readonly cause: string | null;
  readonly traceparent: string | null;
  readonly baggage: Readonly<Record<string, unknown>>;
  /** Of the body. */
  readonly bytes: number;
  readonly body: Decoded;
  /** What is wrong with the envelope, if anything is. */
  readonly fault: string | null;
}

export interface WaitingView extends MessageView {
  readonly state: 'waiting' | 'running' | 'in backoff';
  /** Attempts that ended without success; the one that runs is not among them. */
  readonly attempts: number;
  /** The instance that handles it now. */
  readonly on: string | null;
  /** What the handler's `progress` said last. */
  readonly note: string;
  /** Instances take the queue, and none of them knows the entry. */
  readonly unserved: boolean;
  /** The id of the message of the same key that comes before it. */
  readonly behind: string | null;
}

export interface ParkedView extends MessageView {
  readonly queue: string;
  /** Where it came from: topic/partition/offset. */
  readonly origin: string;
  readonly reason: string;
  readonly attemptCount: number;
  /** Those that are known, oldest first. */
  readonly attempts: readonly Attempt[];
  readonly parkedAtMs: number;
  /** Who parked it, and that module's version. */
  readonly instance: string;
  readonly version: string;
  /** Set when the message was too large to be parked whole: then `bytes` is its whole size, `body` not readable. */
  readonly stub: StubView | null;
}
export interface StubView extends Stub {
  /** The first bytes of the value. */
  readonly first: Uint8Array;
}

/** One record of a message, and what became of it in each queue that it is for. */
export interface FoundView {
  readonly message: MessageView;
  readonly places: readonly PlaceView[];
}
export interface PlaceView {
  readonly queue: string;
  readonly state: WaitingView['state'] | 'settled' | 'parked';
  readonly attempts: number;
  readonly on: string | null;
  /** See WaitingView. */
  readonly unserved: boolean;
  readonly parked: ParkedView | null;
  /** Settled since it was parked, and this was done with it then; null also when the log no longer knows. */
  readonly mended: Mended | null;
}

/** Which messages; all that is given must hold. */
export interface MessageFilter {
  readonly key?: string;
  /** `photos.resize`, or `resize`. */
  readonly entry?: string;
  /** A module, or an instance. */
  readonly from?: string;
  /** The log took it then or later. */
  readonly sinceMs?: number;
}

export type Severity = 'critical' | 'warning';
export interface Alarm {
  readonly severity: Severity;
  /** A queue, an instance, or a part of instances. */
  readonly about: string;
  readonly what:
    | 'expiring'
    | 'stuck'
    | 'growing'
    | 'parked'
    | 'nobody'
    | 'silent'
    | 'unwell'
    | 'degraded'
    | 'held'
    | 'blocked'
    | 'paused'
    | 'unserved';
  /** How long already, in ms, where that is known. */
  readonly forMs: number | null;
  readonly says: string;
  /** The command to type next. */
  readonly next: string;
}
export interface SystemStatus {
  readonly ns: string;
  readonly atMs: number;
  readonly tookMs: number;
  readonly modules: number;
  readonly instances: number;
  /** Worst first. */
  readonly alarms: readonly Alarm[];
  readonly queues: readonly QueueView[];
}

/** A name that nothing has, and what comes near it. */
export class UnknownName extends Error {
  override readonly name = 'UnknownName';
  constructor(
    readonly what: string,
    readonly given: string,
    readonly near: readonly string[],
    hint = '',
  ) {
    const meant = near.length > 0 ? `; the nearest ${near.length > 1 ? 'are' : 'is'} ${near.join(', ')}` : '';
    super(`there is no ${what} ${given}${meant}${hint}`);
  }
}

/** An id that no parked message of the queue begins with. */
export class NotParked extends Error {
  override readonly name = 'NotParked';
  constructor(
    readonly queue: string,
    readonly id: string,
  ) {
    super(
      `no message whose id begins with ${id} is parked in ${queue}; \`busbar parked ${queue}\` lists those that are`,
    );
  }
}

/** Reading stopped at its bound: what came so far is right, and not all. */
export class StoppedEarly extends Error {
  override readonly name = 'StoppedEarly';
  constructor(readonly scanned: number) {
    super(`stopped after ${scanned} records, there are more; narrow it with a queue, --since or --key`);
  }
}
