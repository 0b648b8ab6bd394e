import { BusError } from '../../src/base/errors';
import { OutOfRangeError, PartialAppendError, partlyFailed } from '../../src/ports/log-errors';

const tooLarge = (bytes: number) => new BusError('TooLarge', `${bytes} bytes`, { bytes, limitBytes: 1 });

test('an append of one record fails with its own error, and one of several with a PartialAppendError', () => {
  const error = tooLarge(2);
  expect(partlyFailed(new Map(), 3)).toBeUndefined();
  expect(partlyFailed(new Map([[0, error]]), 1)).toBe(error);
  const partial = partlyFailed(new Map([[1, error]]), 3);
  expect(partial).toBeInstanceOf(PartialAppendError);
  expect(partial?.message).toBe('1 of 3 records were not appended, the others are in the log: 2 bytes');
});

test('a PartialAppendError gives the error of a part of its records', () => {
  const failed = new Map([
    [1, tooLarge(2)],
    [2, tooLarge(3)],
  ]);
  const partial = new PartialAppendError(tooLarge(2), failed, 4);
  expect(partial.of(0, 1)).toBeUndefined();
  expect(partial.of(2, 1)).toBe(failed.get(2));
  expect(partial.of(2, 2)).toMatchObject({ failed: new Map([[0, failed.get(2)]]), places: [] });
  const places = [0, 1, 2, 3].map((offset) => (failed.has(offset) ? undefined : { partition: 0, offset }));
  const placed = new PartialAppendError(tooLarge(2), failed, 4, places);
  expect(placed.of(2, 2)).toMatchObject({ places: [undefined, { partition: 0, offset: 3 }] });
});

test('a reader continues at the start after a trim, and at the end after a loss', () => {
  expect(new OutOfRangeError('t', 0, 3, 5).next).toBe(5);
  expect(new OutOfRangeError('t', 0, 9, 0, 7).next).toBe(7);
});
