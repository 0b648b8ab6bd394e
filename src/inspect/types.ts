/** The plain values that an inspector returns: queues, instances and messages. Times are milliseconds since 1970. */
import type { Clock, Random } from '../base/clock';
import type { Bus } from '../bus/types';
import type { InstanceStatus } from '../bus/self-contract';
import type { Decoded } from '../format/codec';
import type { Log } from '../ports/log';
import type { Registry } from '../ports/registry';
import type { Attempt } from '../work/message';
import type { Stub } from '../work/parked/park';
import type { Repaired } from '../work/parked/replay';
import type { EntryView } from './entry-view';
import type { QueueView } from './queue-view';

export type { EntryView, SenderView } from './entry-view';
export type { ParkedKind, QueueByView, QueueKind, QueueState, QueueView, UnservedView } from './queue-view';

/** Dependencies and limits of an inspector. */
export interface InspectorParts {
  readonly log: Log;
  readonly registry: Registry;
  /** Requests the status of instances. */
  readonly bus: Pick<Bus, 'self' | 'request'>;
  /** Namespace of the topics to inspect. */
  readonly ns: string;
  readonly clock: Clock;
  readonly random: Random;
  /**
   * Timeout for the answer of one instance, in ms.
   * @default 2_000
   */
  readonly answerMs?: number;
  /**
   * Maximum number of records that one call reads before it rejects with StoppedEarly.
   * @default 1_000_000
   */
  readonly scanMax?: number;
}

/** A running instance: its announcement, and the status that it reports. */
export interface InstanceView {
  readonly name: string;
  readonly module: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly sinceMs: number;
  readonly leaving: boolean;
  /** Contracts that the instance serves, with their fingerprints. */
  readonly serves: Readonly<Record<string, string>>;
  /** The status that the instance reported; null when it did not answer. */
  readonly status: InstanceStatus | null;
  /** The reason why it did not answer; null when it did. */
  readonly silent: string | null;
}

/** A message as it is stored in its log. */
export interface MessageView {
  readonly id: string;
  /** The entry; empty when the record does not contain it. */
  readonly entry: string;
  readonly kind: string;
  /** The sending instance; empty when the record does not contain it. */
  readonly from: string;
  /** The key as text, or in hex after `0x` when it is not valid UTF-8. */
  readonly key: string | null;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Time at which the record was appended to the log. */
  readonly timeMs: number;
  readonly sentMs: number | null;
  /** Number of earlier replays by an operator. */
  readonly replay: number;
  /** The id of the message that was being handled when this one was sent. */
  readonly cause: string | null;
  readonly traceparent: string | null;
  readonly baggage: Readonly<Record<string, unknown>>;
  /** Size of the body in bytes. */
  readonly bytes: number;
  readonly body: Decoded;
  /** Description of the fault in the envelope; null when it is valid. */
  readonly fault: string | null;
}

/** A message that is not settled. */
export interface WaitingView extends MessageView {
  readonly state: 'waiting' | 'running' | 'in backoff';
  /** Number of attempts that failed, without the one that is running. */
  readonly attempts: number;
  /** The instance that handles it now. */
  readonly on: string | null;
  /** The last note that the handler passed to `progress`. */
  readonly note: string;
  /** True when instances consume the queue and none of them knows the entry. */
  readonly unserved: boolean;
  /** The id of an unsettled message of the same key that is handled before this one; null when there is none. */
  readonly behind: string | null;
}

/** A parked message, with the reason and the recorded attempts. */
export interface ParkedView extends MessageView {
  readonly queue: string;
  /** Place of the original record, as topic/partition/offset. */
  readonly origin: string;
  readonly reason: string;
  readonly attemptCount: number;
  /** The attempts that were recorded, oldest first. */
  readonly attempts: readonly Attempt[];
  readonly parkedAtMs: number;
  /** The instance that parked it. `version` is the version of its module. */
  readonly instance: string;
  readonly version: string;
  /**
   * Set when the message was too large to be parked whole. `bytes` is then the size of the whole message, and `body` is
   * not readable.
   */
  readonly stub: StubView | null;
}
/** The remainder of a message that was too large to be parked: size, SHA-256 and first bytes. */
export interface StubView extends Stub {
  /** The first bytes of the value. */
  readonly first: Uint8Array;
}

/** One record of a message, and its state in each queue that receives it. */
export interface FoundView {
  readonly message: MessageView;
  readonly places: readonly PlaceView[];
}
/** The state of a message in one queue. */
export interface PlaceView {
  readonly queue: string;
  readonly state: WaitingView['state'] | 'settled' | 'parked';
  readonly attempts: number;
  readonly on: string | null;
  /** See {@link WaitingView.unserved}. */
  readonly unserved: boolean;
  readonly parked: ParkedView | null;
  /**
   * The repair by which it was settled after it was parked; null when there was none or the log no longer has the
   * record.
   */
  readonly repaired: Repaired | null;
}

/** A selection of messages. A message must match every field that is set. */
export interface MessageFilter {
  readonly key?: string;
  /** An entry, such as `photos.resize` or `resize`. */
  readonly entry?: string;
  /** A sending module or instance. */
  readonly from?: string;
  /** Earliest append time. */
  readonly sinceMs?: number;
  /** Latest append time. */
  readonly untilMs?: number;
}

/** Severity of an alarm. `critical`: messages are not handled, will be lost, or an instance does not work. */
export type Severity = 'critical' | 'warning';
/** A condition that an operator must know, in one sentence, with the command to run next. */
export interface Alarm {
  readonly severity: Severity;
  /** A queue, an instance, or a part of instances. */
  readonly about: string;
  readonly what:
    | 'expiring'
    | 'stuck'
    | 'growing'
    | 'parked'
    | 'no instance'
    | 'silent'
    | 'unwell'
    | 'degraded'
    | 'held'
    | 'blocked'
    | 'paused'
    | 'unserved'
    | 'failing'
    | 'timing out'
    | 'refused'
    | 'drift';
  /** Time for which the condition has lasted, in ms; null when it is unknown. */
  readonly forMs: number | null;
  readonly message: string;
  /** The command to run next. */
  readonly next: string;
}
/** The state of a namespace: counts, alarms and queues. */
export interface SystemStatus {
  readonly ns: string;
  readonly atMs: number;
  readonly tookMs: number;
  readonly modules: number;
  readonly instances: number;
  /** Alarms, most severe first. */
  readonly alarms: readonly Alarm[];
  readonly queues: readonly QueueView[];
  /** Entries of which messages were sent or requests were handled within the last minute. */
  readonly entries: readonly EntryView[];
}

/** An unknown name, with the nearest known names. */
export class UnknownName extends Error {
  override readonly name = 'UnknownName';
  /** Creates the error. `what` is the kind of the name, such as `queue`, and `near` the nearest known names. */
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

/** A prefix of an id that matches no parked message of the queue. */
export class NotParked extends Error {
  override readonly name = 'NotParked';
  /** Creates the error for the prefix `id`. */
  constructor(
    readonly queue: string,
    readonly id: string,
  ) {
    super(
      `no message whose id begins with ${id} is parked in ${queue}; \`busbar parked ${queue}\` lists those that are`,
    );
  }
}

/** A prefix of an id that matches no message that waits or runs in the queue. */
export class NotWaiting extends Error {
  override readonly name = 'NotWaiting';
  /** Creates the error for the prefix `id`. */
  constructor(
    readonly queue: string,
    readonly id: string,
  ) {
    super(`no message whose id begins with ${id} waits or runs in ${queue}. \`busbar why ${id}\` shows its state`);
  }
}

/** A change that was not made, because it cannot be recorded in the audit topic. `cause` is the error of the log. */
export class NotRecorded extends Error {
  override readonly name = 'NotRecorded';
}

/** The read stopped at its limit. Results returned before it are correct but incomplete. */
export class StoppedEarly extends Error {
  override readonly name = 'StoppedEarly';
  /** Creates the error. `scanned` is the number of records that were read. */
  constructor(readonly scanned: number) {
    super(`stopped after ${scanned} records, and more exist. Narrow the search with a queue, --since or --key`);
  }
}
