/** Tracks the appends that have not ended: the memory that their records hold, and the time that they can take. */
import { Capacity } from '../../base/bounded';
import type { Clock } from '../../base/clock';
import { BusError } from '../../base/errors';
import { deferred, type Deferred } from '../../base/lifecycle';
import { limits } from '../../base/limits';
import { type Append, type LogRecord, partlyFailed } from '../../ports/log';
import { copyRecord, recordBytes, recordBytesMax, waitingBytesMax } from '../protocol/record-size';

/** Position of a written record, and its timestamp if the topic uses LogAppendTime. */
export interface Acknowledged {
  readonly partition: number;
  readonly offset: number;
  readonly timeMs: number | null;
}
/** One append. It ends when the outcome of every record is known. */
export interface PendingAppend {
  readonly topic: string;
  /** Number of its records. */
  readonly count: number;
  readonly begunMs: number;
  /** Time after which the append rejects with Unreachable. */
  readonly withinMs: number;
  isOver: boolean;
  /** True if at least one of its records is in the log. */
  isAcknowledged: boolean;
  done(): void;
  /** Marks a record as written. */
  acknowledge(index: number, place: Acknowledged): void;
  /** Marks a record as rejected. The call still waits for the outcome of its other records. */
  refuse(index: number, error: BusError): void;
  fail(error: unknown): void;
}
/** One record of a call. */
export interface Item {
  readonly record: Append;
  readonly bytes: number;
  readonly call: PendingAppend;
  /** Index of the record in its call. */
  readonly index: number;
}

/**
 * Bytes that each topic can hold when the queue is full. Otherwise topics whose leaders are unavailable would block all
 * topics.
 */
const reservedBytes = 4 * 1024 * 1024;
/** Delay before a retry that an Overloaded error recommends. */
const retryAfterMs = 100;

export class PendingAppends {
  readonly #open = new Set<PendingAppend>();
  readonly #capacity = new Capacity({ count: Infinity, bytes: waitingBytesMax });
  readonly #topics = new Map<string, Capacity>();
  #idle: Deferred<void> | undefined;

  constructor(private readonly clock: Clock) {}

  /**
   * Returns the size of each record. Throws TooLarge for a record that exceeds the limit, and Overloaded if the queue
   * has no room for all of them.
   */
  checkRoom(topic: string, records: readonly LogRecord[]): readonly number[] {
    const sizes = records.map(recordBytes);
    const large = sizes.find((size) => size > recordBytesMax);
    if (large !== undefined) throw tooLarge(topic, large);
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    const capacity = this.#capacityOf(topic);
    if (!capacity.fits(bytes, sizes.length))
      throw capacity.overloaded(topic, 'records', retryAfterMs, bytes, sizes.length);
    return sizes;
  }
  #capacityOf(topic: string): Capacity {
    const known = this.#topics.get(topic);
    if (known) return known;
    const max = { count: limits.sendingMax, bytes: waitingBytesMax };
    const made = new Capacity(max, this.#capacity, reservedBytes);
    this.#topics.set(topic, made);
    return made;
  }

  begin(
    topic: string,
    count: number,
    withinMs: number,
  ): { readonly call: PendingAppend; readonly landed: Promise<readonly Acknowledged[]> } {
    const result = deferred<readonly Acknowledged[]>();
    const places = Array.from<Acknowledged>({ length: count });
    const failed = new Map<number, BusError>();
    const end = (): void => {
      call.isOver = true;
      this.#open.delete(call);
      if (this.#open.size === 0) this.#idle?.resolve();
    };
    let left = count;
    const known = (): void => {
      left--;
      if (left === 0 && !call.isOver) call.done();
    };
    const call: PendingAppend = {
      topic,
      count,
      begunMs: this.clock.mono(),
      withinMs,
      isOver: false,
      isAcknowledged: false,
      done() {
        end();
        const error = partlyFailed(failed, count, places);
        if (error) result.reject(error);
        else result.resolve(places);
      },
      acknowledge(index, place) {
        places[index] = place;
        call.isAcknowledged = true;
        known();
      },
      refuse(index, error) {
        failed.set(index, error);
        known();
      },
      fail(error) {
        if (call.isOver) return;
        end();
        result.reject(error);
      },
    };
    this.#open.add(call);
    return { call, landed: result.promise };
  }

  /**
   * Returns the records of a call as items, each of which holds room in the queue until it is freed. Records are copied
   * unless they are immutable, because the caller can reuse its buffers.
   */
  itemsOf(
    call: PendingAppend,
    records: readonly Append[],
    sizes: readonly number[],
    isImmutable = false,
  ): readonly Item[] {
    const items = records.map((record, index) => ({
      record: isImmutable ? record : copyRecord(record),
      bytes: sizes[index] ?? 0,
      call,
      index,
    }));
    const capacity = this.#capacityOf(call.topic);
    for (const { bytes } of items) capacity.add(bytes);
    return items;
  }
  free({ call, bytes }: Item): void {
    this.#capacityOf(call.topic).remove(bytes);
  }

  /** Returns the calls whose time has run out. */
  overdue(): readonly PendingAppend[] {
    const nowMs = this.clock.mono();
    return [...this.#open].filter(({ begunMs, withinMs }) => nowMs - begunMs >= withinMs);
  }
  all(): readonly PendingAppend[] {
    return [...this.#open];
  }

  /** Resolves when no call is open, or after `ms`. */
  async runOut(ms: number): Promise<void> {
    if (this.#open.size === 0) return;
    this.#idle = deferred<void>();
    const limit = this.clock.after(ms, () => this.#idle?.resolve());
    await this.#idle.promise;
    limit.cancel();
  }
}

function tooLarge(topic: string, bytes: number): BusError<'TooLarge'> {
  const message = `a record for ${topic} has ${bytes} bytes, the limit is ${recordBytesMax}`;
  return new BusError('TooLarge', message, { bytes, limitBytes: recordBytesMax });
}
