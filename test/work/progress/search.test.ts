import type { Stored } from '../../../src/ports/log';
import { firstSince } from '../../../src/work/progress/search';

const spot = { topic: 't.photos.work', partition: 0 };

/** A log whose record at each of these offsets has the offset as its time. */
function logOf(offsets: readonly number[]) {
  let reads = 0;
  const records = offsets.map((offset): Stored => ({
    ...spot,
    offset,
    timeMs: offset,
    key: null,
    value: null,
    headers: {},
  }));
  const peek = async (_topic: string, from: { readonly offset: number }): Promise<readonly Stored[]> => {
    reads++;
    return records.filter(({ offset }) => offset >= from.offset).slice(0, 1);
  };
  return { log: { peek }, reads: () => reads };
}

test('returns the first offset of a time on, also between gaps, with few reads', async () => {
  const { log, reads } = logOf(Array.from({ length: 1_000 }, (_, n) => n * 3));
  expect(await firstSince(log, spot, { low: 0, high: 3_000 }, 300)).toBe(298); // the record at 297 is older
  expect(reads()).toBeLessThanOrEqual(12);
});

test('returns the upper bound when every record is older or none exists, and the lower one when none is', async () => {
  expect(await firstSince(logOf([1, 2, 3]).log, spot, { low: 0, high: 4 }, 9)).toBe(4);
  expect(await firstSince(logOf([]).log, spot, { low: 2, high: 4 }, 9)).toBe(2);
  expect(await firstSince(logOf([5, 6]).log, spot, { low: 5, high: 7 }, 0)).toBe(5);
});
