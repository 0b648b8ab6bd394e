/** Errors of a log, beside those of the bus. */
import { BusError } from '../base/errors';
import type { Place } from './place';

/**
 * Error of an operation on a partition that this member no longer owns. Another member can be working on it already.
 */
export class PartitionLostError extends Error {
  override readonly name = 'PartitionLostError';
  constructor(
    readonly group: string,
    readonly partition: number,
    readonly reason: string,
  ) {
    super(`partition ${partition} of ${group} no longer belongs to this instance: ${reason}`);
  }
}
/**
 * Error of an append of several records when some were refused. `failed` has their indexes in the call. All other
 * records are in the log, at their `places` by index, if the log reports them.
 */
export class PartialAppendError extends BusError {
  constructor(
    first: BusError,
    readonly failed: ReadonlyMap<number, BusError>,
    count: number,
    readonly places: readonly (Place | undefined)[] = [],
  ) {
    const message = `${failed.size} of ${count} records were not appended, the others are in the log: ${first.message}`;
    super(first.code, message, first.details, first, first.remedy);
  }

  /**
   * Returns the error of the records from index `from` on, as if these `count` records had been appended alone. Returns
   * undefined if all of them are in the log.
   */
  of(from: number, count: number): BusError | undefined {
    const mine = [...this.failed].filter(([place]) => place >= from && place < from + count);
    const places = this.places.slice(from, from + count);
    return partlyFailed(new Map(mine.map(([place, error]) => [place - from, error])), count, places);
  }
}
/**
 * Returns the error of an append of `count` records of which these failed, or undefined if none failed. An append of
 * one record rejects with that record's own error.
 */
export function partlyFailed(
  failed: ReadonlyMap<number, BusError>,
  count: number,
  places?: readonly (Place | undefined)[],
): BusError | undefined {
  const [first] = failed.values();
  return first && count > 1 ? new PartialAppendError(first, failed, count, places) : first;
}

/**
 * Error of a read of records that no longer exist. Without `end`, the log was trimmed: offsets `from` up to `start`,
 * exclusive, do not exist. With `end`, the log lost its records from `end` on, although it had acknowledged them and
 * they can have been read. Records from `end` on are then new ones.
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
    super(`${topic}/${partition}: offsets ${first} to ${last} no longer exist, ${why}`);
  }

  /** Returns the offset at which a reader continues. */
  get next(): number {
    return this.end ?? this.start;
  }
}
