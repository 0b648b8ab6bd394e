/** Queues the records that wait to be written to one partition, as ordered batches of which one is in flight. */
import type { Clock, Timer } from '../../base/clock';
import { inPart, type BusError } from '../../base/errors';
import type { PendingAppend, Item } from './pending-appends';
import { nextEpoch, written } from './producer-id';
import type { TopicShape } from '../cluster/topics';
import type { ProducerState, TopicPartition } from '../protocol/types';

/**
 * Maximum size of a batch, unless its first record alone is larger. A batch is resent whole until its outcome is known.
 */
const batchBytesMax = 512 * 1024;
/** Maximum number of records in a batch. */
const batchRecordsMax = 2_000;
/**
 * Minimum interval between two lookups of a topic because a record names a partition that does not exist. Without it,
 * every such append would send one.
 */
const shapeRetryMs = 1_000;

/** Consecutive records of one partition, sent unchanged until their outcome is known. */
export interface Batch {
  readonly items: readonly Item[];
  readonly bytes: number;
  /**
   * Time of the first send by the monotonic clock, which stands still while a machine is suspended, and by the wall
   * clock.
   */
  firstSent: { readonly monoMs: number; readonly nowMs: number } | undefined;
  /** True if the broker can have written the batch already. */
  uncertain: boolean;
  tries: number;
  /** Text of the last error, or an empty string. */
  failure: string;
}

export class PartitionQueue implements TopicPartition {
  /** Token of the request in flight. The outcome of any other request is ignored. */
  inFlight: object | undefined;
  retryTimer: Timer | undefined;
  /** True while the queue waits for a request of its leader, for a known leader, or for a producer id. */
  queued = false;
  /**
   * Producer id, epoch and sequence number by which the broker recognizes copies of the first batch. Undefined before
   * the first send, and for a producer that is not idempotent.
   */
  producer: ProducerState | undefined;
  readonly #batches: Batch[] = [];
  #waiting: Item[] = [];

  constructor(
    readonly topic: string,
    readonly partition: number,
  ) {}

  get name(): string {
    return `${this.topic}/${this.partition}`;
  }
  /** The first batch, which is in flight or sent next. */
  get batch(): Batch | undefined {
    return this.#batches[0];
  }
  get empty(): boolean {
    return this.#batches.length === 0 && this.#waiting.length === 0;
  }

  add(item: Item): void {
    this.#waiting.push(item);
  }

  /**
   * Returns the first batch, or builds it from waiting records. Records of ended calls are left out and freed unless
   * they can have been written. Otherwise a record could be written after an earlier one of its call was given up.
   */
  first(freed: (item: Item) => void): Batch | undefined {
    while (this.batch) if (!this.#dropOverOf(this.batch, freed)) return this.batch;
    const items: Item[] = [];
    let [bytes, taken] = [0, 0];
    for (const item of this.#waiting) {
      if (items.length >= batchRecordsMax || (items.length > 0 && bytes + item.bytes > batchBytesMax)) break;
      taken++;
      if (item.call.isOver) freed(item);
      else {
        items.push(item);
        bytes += item.bytes;
      }
    }
    this.#waiting = this.#waiting.slice(taken);
    if (items.length === 0) return this.#waiting.length > 0 ? this.first(freed) : undefined;
    const made = batchOf(items);
    this.#batches.push(made);
    return made;
  }

  /** Removes the first batch, which was written, and advances the sequence number. */
  acknowledged(): void {
    const batch = this.#batches.shift();
    if (batch && this.producer) this.producer = written(this.producer, batch.items.length);
  }
  /** Removes the first batch, which is not sent again even if its outcome is unknown. */
  giveUp(): void {
    const batch = this.#batches.shift();
    if (batch && batch.tries > 0) this.restart();
  }
  /** Replaces the first batch, which was not written, with these parts of it, in order. */
  replaceFirst(parts: readonly (readonly Item[])[]): void {
    const { firstSent, tries = 0, failure = '' } = this.batch ?? {};
    const made = parts.filter((items) => items.length > 0).map(batchOf);
    this.#batches.splice(0, 1, ...made.map((part) => ({ ...part, firstSent, tries, failure })));
    if (tries > 0) this.restart();
  }
  /** Advances to the next epoch. Once the broker has seen it, copies of batches of the current epoch are rejected. */
  restart(): void {
    this.producer = this.producer && nextEpoch(this.producer);
  }

  /** Adds the calls of records that can have been written, because {@link dropOver} cannot remove them. */
  addSent(calls: Set<PendingAppend>): void {
    const { batch } = this;
    if (batch && (batch.uncertain || this.inFlight)) for (const { call } of batch.items) calls.add(call);
  }

  /** Removes and frees the records of ended calls, except those of a batch that can have been written. */
  dropOver(freed: (item: Item) => void): void {
    for (const batch of this.#batches.toReversed()) this.#dropOverOf(batch, freed);
    const gone = this.#waiting.filter(({ call }) => call.isOver);
    if (gone.length > 0) this.#waiting = this.#waiting.filter(({ call }) => !call.isOver);
    for (const item of gone) freed(item);
  }

  /** Does this for one batch. Returns true if it was replaced. Only the first batch can have been written. */
  #dropOverOf(batch: Batch, freed: (item: Item) => void): boolean {
    const isFirst = batch === this.batch;
    const isWritten = batch.uncertain || (isFirst && this.inFlight !== undefined);
    if (isWritten || !batch.items.some(({ call }) => call.isOver)) return false;
    const left = batch.items.filter(({ call }) => !call.isOver);
    const { firstSent, tries, failure } = batch;
    const made = left.length > 0 ? [{ ...batchOf(left), firstSent, tries, failure }] : [];
    this.#batches.splice(this.#batches.indexOf(batch), 1, ...made);
    if (isFirst && tries > 0) this.restart();
    for (const item of batch.items) if (item.call.isOver) freed(item);
    return true;
  }
}

/**
 * Fails the calls of a batch that is given up. A call with further records fails in part, because those can be in the
 * log or still be written.
 */
export function failCalls({ items }: Batch, error: BusError): void {
  const counts = new Map<PendingAppend, number>();
  for (const { call } of items) counts.set(call, (counts.get(call) ?? 0) + 1);
  for (const [call, count] of counts) call.fail(count < call.count ? inPart(error) : error);
}

function batchOf(items: readonly Item[]): Batch {
  const bytes = items.reduce((sum, item) => sum + item.bytes, 0);
  return { items, bytes, firstSent: undefined, uncertain: false, tries: 0, failure: '' };
}

/**
 * Returns the time since the batch was first sent. Time in which the machine was suspended counts. Brokers forget a
 * producer that has not written for a day, and no longer recognize copies of its batches.
 */
export function sinceSentMs({ firstSent }: Batch, clock: Clock): number {
  return firstSent ? Math.max(clock.mono() - firstSent.monoMs, clock.now() - firstSent.nowMs) : 0;
}

/** Partition queues of one topic, and the calls that wait for its number of partitions. */
export class TopicQueues {
  readonly queues: PartitionQueue[] = [];
  shape: TopicShape | undefined;
  /** Calls that arrived before the shape was known, in order. */
  readonly waiting: { readonly call: PendingAppend; readonly items: readonly Item[] }[] = [];
  private askedMs = -Infinity;

  /** Text of the last error of a batch of this topic. Undefined if no error is known. */
  get failure(): string | undefined {
    return this.queues.flatMap(({ batch }) => batch?.failure || [])[0]; // flatMap skips partitions without a queue
  }

  /**
   * Returns undefined if the shape must be requested first. This includes a record for a partition beyond the known
   * ones, because the topic can have grown.
   */
  shapeFor(items: readonly Item[], nowMs: number): TopicShape | undefined {
    const { shape } = this;
    if (!shape || this.waiting.length > 0) return undefined;
    const isBeyond = items.some(({ record }) => record.partition >= shape.partitions);
    if (!isBeyond || nowMs - this.askedMs < shapeRetryMs) return shape;
    this.askedMs = nowMs;
    return undefined;
  }
}
