/** Finds records by their time. */
import type { Store } from '../../disk/lmdb';
import { kinds, PlaceKeys } from './keys';
import { timeOf } from './record-format';

/** Offsets of a partition, from `from` (inclusive) to `end` (exclusive). */
export interface OffsetRange {
  readonly from: number;
  readonly end: number;
}

/**
 * Returns the offset of the first record of the range whose time is `timeMs` or later, or `end` if there is none. The
 * search is binary, since times rise with offsets. If the clock was set back, several records pass the time, and it
 * returns one of them.
 */
export function firstSince(
  store: Pick<Store, 'view'>,
  topic: string,
  partition: number,
  timeMs: number,
  { from, end }: OffsetRange,
): number {
  const keys = new PlaceKeys(kinds.record, topic, partition);
  let [low, high] = [from, end];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const record = store.view(keys.at(middle));
    if (record !== undefined && timeOf(record) < timeMs) low = middle + 1;
    else high = middle;
  }
  return low;
}
