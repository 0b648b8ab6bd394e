/** What waits to be written to one partition: batches in order, of which only the first is ever on its way. */
import type { Clock, Timer } from '../../base/clock';
import { inPart, type BusError } from '../../base/errors';
import type { Call, Item } from './pending-appends';
import { nextEpoch, written } from './producer-id';
import type { TopicShape } from '../cluster/topics';
import type { ProducerState, Spot } from '../protocol/types';

/** Of one batch, unless its first record alone is larger. */
const batchBytesMax = 512 * 1024;
const batchRecordsMax = 2_000;
/** A partition that was not there is asked after no more often than this. */
const againMs = 1_000;

/** Sent as it is until its outcome is known. */
export interface Batch {
  readonly items: readonly Item[];
  readonly bytes: number;
  /** By the clock that only goes on, which stands still while a machine is suspended, and by the time of day. */
  firstSent: { readonly monoMs: number; readonly nowMs: number } | undefined;
  /** It may have been written already. */
  uncertain: boolean;
  tries: number;
  /** What went wrong last. */
  trouble: string;
}

export class Lane implements Spot {
  /** The batch on its way, as a token that tells whose answer counts. */
  flight: object | undefined;
  resting: Timer | undefined;
  /** It is in the queue of a leader, or waits for one. */
  queued = false;
  /** How the broker recognizes copies of the first batch; undefined before the first send, or where it need not. */
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
  /** The one that is sent, or was and will be again. */
  get batch(): Batch | undefined {
    return this.#batches[0];
  }
  get empty(): boolean {
    return this.#batches.length === 0 && this.#waiting.length === 0;
  }

  add(item: Item): void {
    this.#waiting.push(item);
  }

  /** The batch whose turn it is; what nobody waits for any more, and was never sent, is left out and freed. */
  first(freed: (item: Item) => void): Batch | undefined {
    const [batch] = this.#batches;
    if (batch) return batch;
    const items: Item[] = [];
    let [bytes, taken] = [0, 0];
    for (const item of this.#waiting) {
      if (items.length >= batchRecordsMax || (items.length > 0 && bytes + item.bytes > batchBytesMax)) break;
      taken++;
      if (item.call.over) freed(item);
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

  /** The first batch was written. */
  acknowledged(): void {
    const batch = this.#batches.shift();
    if (batch && this.producer) this.producer = written(this.producer, batch.items.length);
  }
  /** The first batch is not sent again, written or not. */
  giveUp(): void {
    const batch = this.#batches.shift();
    if (batch && batch.tries > 0) this.restart();
  }
  /** Replaces the first batch, which was not written, by these parts of it, in order. */
  replaceFirst(parts: readonly (readonly Item[])[]): void {
    const { firstSent, tries = 0, trouble = '' } = this.batch ?? {};
    const made = parts.filter((items) => items.length > 0).map(batchOf);
    this.#batches.splice(0, 1, ...made.map((part) => ({ ...part, firstSent, tries, trouble })));
    if (tries > 0) this.restart();
  }
  /** What was sent under the epoch so far is not written from now on, once the broker has seen the next epoch. */
  restart(): void {
    this.producer = this.producer && nextEpoch(this.producer);
  }

  /** Whether records of the call were sent, or will be: those that {@link dropOver} cannot take back. */
  maySend(call: Call): boolean {
    return this.#batches.some(
      (batch, n) => (n > 0 || batch.uncertain || this.flight) && batch.items.some((item) => item.call === call),
    );
  }

  /** Frees those that nobody waits for any more, unless they may have been written. */
  dropOver(freed: (item: Item) => void): void {
    const { batch } = this;
    if (batch && !this.flight && !batch.uncertain && batch.items.some(({ call }) => call.over)) {
      this.replaceFirst([batch.items.filter(({ call }) => !call.over)]);
      for (const item of batch.items) if (item.call.over) freed(item);
    }
    const gone = this.#waiting.filter(({ call }) => call.over);
    if (gone.length > 0) this.#waiting = this.#waiting.filter(({ call }) => !call.over);
    for (const item of gone) freed(item);
  }
}

/** Ends the calls of a batch that is given up. Records that a call has elsewhere can be in the log, or get there. */
export function failCalls({ items }: Batch, error: BusError): void {
  const counts = new Map<Call, number>();
  for (const { call } of items) counts.set(call, (counts.get(call) ?? 0) + 1);
  for (const [call, count] of counts) call.fail(count < call.count ? inPart(error) : error);
}

function batchOf(items: readonly Item[]): Batch {
  const bytes = items.reduce((sum, item) => sum + item.bytes, 0);
  return { items, bytes, firstSent: undefined, uncertain: false, tries: 0, trouble: '' };
}

/**
 * How long ago it was sent first. Time in which the machine was suspended counts, as brokers forget a producer that has
 * not written for a day, and with it which batches they have.
 */
export function sinceSentMs({ firstSent }: Batch, clock: Clock): number {
  return firstSent ? Math.max(clock.mono() - firstSent.monoMs, clock.now() - firstSent.nowMs) : 0;
}

/** Where the sender has come to with one topic. */
export class TopicLanes {
  readonly lanes: Lane[] = [];
  shape: TopicShape | undefined;
  /** Calls that came before the shape was known, in order. */
  readonly waiting: { readonly call: Call; readonly items: readonly Item[] }[] = [];
  private askedMs = -Infinity;

  /** Why a batch of it was not written so far; undefined when nothing is known. */
  get trouble(): string | undefined {
    return this.lanes.flatMap(({ batch }) => batch?.trouble || [])[0]; // flatMap skips partitions without a lane
  }

  /** Undefined when it has to be asked for: also when the topic may have grown, as one item is for a new partition. */
  shapeFor(items: readonly Item[], nowMs: number): TopicShape | undefined {
    const { shape } = this;
    if (!shape || this.waiting.length > 0) return undefined;
    const isBeyond = items.some(({ record }) => record.partition >= shape.partitions);
    if (!isBeyond || nowMs - this.askedMs < againMs) return shape;
    this.askedMs = nowMs;
    return undefined;
  }
}
