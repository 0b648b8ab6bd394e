import { BadBytes, ByteSource } from '../../src/format/byte-source';

/** A source that reads one timestamp. */
class Dates extends ByteSource {
  read(...bytes: number[]): Date {
    this.begin(Uint8Array.from(bytes), bytes.length);
    return this.date(bytes.length);
  }
}
const dates = new Dates();

test('reads timestamps of 4, 8 and 12 bytes', () => {
  expect(dates.read(0, 0, 0, 1)).toEqual(new Date(1_000));
  expect(dates.read(0, 0, 0, 0, 0, 0, 0, 1)).toEqual(new Date(1_000));
  expect(dates.read(0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255)).toEqual(new Date(-1_000));
});

test('refuses timestamps that a Date cannot hold', () => {
  expect(() => dates.read(1, 2, 3)).toThrow(new BadBytes('a timestamp of 3 bytes'));
  expect(() => dates.read(0, 0, 0, 4, 0, 0, 0, 1)).toThrow('a fraction of a millisecond');
  expect(() => dates.read(0, 0, 0, 0, 127, 255, 255, 255, 255, 255, 255, 255)).toThrow('that a Date cannot hold');
});
