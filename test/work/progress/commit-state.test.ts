import * as fc from 'fast-check';
import {
  cutState,
  decodeState,
  emptyState,
  encodeState,
  rangesThatFit,
  type State,
} from '../../../src/work/progress/commit-state';
import { tries } from '../../heavy';

const offsets = fc.nat(2 ** 40);
const state = (offset: number) =>
  fc
    .record({
      ranges: fc.array(fc.tuple(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1, max: 100_000 })), {
        maxLength: 50,
      }),
      tried: fc.array(fc.tuple(fc.nat(10_000), fc.nat(50), fc.boolean()), { maxLength: 50 }),
      senders: fc.array(
        fc.tuple(fc.oneof(fc.string({ minLength: 1 }), fc.constant('9f86d081884c7d65')), fc.nat(2 ** 45), fc.nat(9e5)),
        { maxLength: 20 },
      ),
      beyond: fc.nat(1000),
      chosen: fc.option(
        fc.record({ behind: fc.integer({ min: 1, max: 50 }), timeMs: fc.nat(2 ** 45), from: fc.nat(2 ** 40) }),
      ),
      newest: fc.option(fc.record({ behind: fc.integer({ min: 1, max: 50 }), timeMs: fc.nat(2 ** 45) })),
    })
    .map(({ ranges, tried, senders, beyond, chosen: marked, newest: last }): State => {
      let at = offset;
      const placed = ranges.map(([gap, length]) => {
        const from = at + gap;
        at = from + length;
        return { from, to: at };
      });
      let mark = offset;
      const newest = 1_800_000_000_000;
      const seen = at + beyond;
      const { behind = Infinity, timeMs = 0 } = last ?? {};
      return {
        seen,
        ...(behind <= seen && { newest: { offset: seen - behind, timeMs } }),
        ...(marked &&
          marked.behind <= seen && {
            chosen: { from: marked.from, newest: { offset: seen - marked.behind, timeMs: marked.timeMs } },
          }),
        ranges: placed,
        tried: tried.map(([gap, attempts, running]) => ({ offset: (mark += gap), attempts, running })),
        senders: senders.map(([incarnation, position, s], n) => ({
          incarnation,
          position,
          timeMs: newest - (n === 0 ? 0 : s * 1000),
        })),
      };
    });
const placed = offsets.chain((offset) => fc.tuple(fc.constant(offset), state(offset)));

test('decodeState returns the state that encodeState was given', () => {
  fc.assert(
    fc.property(placed, ([offset, given]) => {
      expect(decodeState(offset, encodeState(offset, given, 1_000_000))).toEqual(given);
    }),
    { numRuns: tries(50) },
  );
});

test('encodeState stays within its bytes, and keeps the newest senders and lowest ranges', () => {
  fc.assert(
    fc.property(placed, fc.integer({ min: 64, max: 600 }), ([offset, given], bytesMax) => {
      const encoded = encodeState(offset, given, bytesMax);
      expect(encoded.length).toBeLessThanOrEqual(bytesMax);
      const back = decodeState(offset, encoded);
      expect(given.ranges.slice(0, back.ranges.length)).toEqual(back.ranges);
      expect(given.tried.slice(0, back.tried.length)).toEqual(back.tried);
      expect(given.senders.slice(0, back.senders.length)).toEqual(back.senders);
      expect(back.senders.length === 0 || back.ranges.length === given.ranges.length).toBe(true);
    }),
    { numRuns: tries(50) },
  );
});

test('700 ranges, 100 tried messages and 100 senders fit into 4,096 bytes', () => {
  const ranges = Array.from({ length: 700 }, (_, n) => ({ from: 10 + n * 20, to: 13 + n * 20 }));
  const tried = Array.from({ length: 100 }, (_, n) => ({ offset: 9 + n * 20, attempts: 2, running: true }));
  const senders = Array.from({ length: 100 }, (_, n) => ({
    incarnation: n.toString(16).padStart(16, '0'),
    position: 1_000_000 + n,
    timeMs: 1_800_000_000_000 - n * 60_000,
  }));
  const given = { seen: 20_000, ranges, tried, senders };
  const encoded = encodeState(9, given, 4_096);
  expect(decodeState(9, encoded)).toEqual(given);
});

test('decodeState rejects damaged bytes, a newer version, and another offset', () => {
  const good = encodeState(7, { seen: 20, ranges: [{ from: 9, to: 12 }], tried: [], senders: [] }, 4_096);
  expect(() => decodeState(7, Buffer.from('{"offset":7}'))).toThrow(/version 123/);
  expect(() => decodeState(7, Uint8Array.of(4, ...good.slice(1)))).toThrow('it has version 4, this busbar supports 3');
  expect(() => decodeState(8, good)).toThrow('it belongs to offset 7, but the commit is at 8');
  expect(() => decodeState(7, good.slice(0, -1))).toThrow(RangeError);
  expect(() => decodeState(7, Uint8Array.of(...good, 0))).toThrow('1 bytes are left over');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeState(0, bytes);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    }),
  );
});

test('decodeState reads version 1, which lacks the newest record', () => {
  const given: State = { seen: 20, ranges: [{ from: 9, to: 12 }], tried: [], senders: [] };
  const [, ...rest] = encodeState(7, given, 4_096);
  const before = Uint8Array.of(1, ...rest.slice(0, 2), ...rest.slice(3));
  expect(decodeState(7, before)).toEqual(given);
});

test('a state without chosen ids has version 2, which earlier versions of busbar read', () => {
  const given: State = { seen: 20, newest: { offset: 19, timeMs: 5 }, ranges: [], tried: [], senders: [] };
  const chosen = { from: 3, newest: { offset: 18, timeMs: 4 } };
  expect(encodeState(7, given, 4_096)[0]).toBe(2);
  const encoded = encodeState(7, { ...given, chosen }, 4_096);
  expect(encoded[0]).toBe(3);
  expect(decodeState(7, encoded)).toEqual({ ...given, chosen });
  expect(encodeState(7, { ...given, chosen }, 255)[0]).toBe(2); // a log that allows hardly any state
});

test('cutState keeps the range of chosen ids only below the end', () => {
  const chosen = { from: 10, newest: { offset: 30, timeMs: 9 } };
  const cutAt = (end: number) => cutState({ ...emptyState(40), chosen }, end).chosen;
  expect([cutAt(31), cutAt(20), cutAt(10)]).toEqual([
    chosen,
    { from: 10, newest: { offset: 19, timeMs: 9 } },
    undefined,
  ]);
});

test('decodeState returns an empty state for zero bytes', () => {
  expect(decodeState(7, new Uint8Array())).toEqual({ seen: 7, ranges: [], tried: [], senders: [] });
});

test('rangesThatFit ranges always fit into the bytes of a commit', () => {
  const sizes = fc.tuple(fc.integer({ min: 0, max: 4_000 }), fc.nat(2 ** 24), offsets);
  fc.assert(
    fc.property(sizes, ([bytesMax, spread, offset]) => {
      const count = Math.min(rangesThatFit(bytesMax, spread), Math.floor(spread / 2));
      const gap = count > 0 ? Math.floor(spread / count) : 1;
      const ranges = Array.from({ length: count }, (_, n) => {
        const from = offset + n * gap + 1;
        return { from, to: from + Math.max(1, gap - 1) };
      });
      const given = { seen: offset + spread, ranges, tried: [], senders: [] };
      const encoded = encodeState(offset, given, bytesMax);
      expect(encoded.length).toBeLessThanOrEqual(bytesMax);
      expect(decodeState(offset, encoded).ranges).toEqual(ranges);
    }),
    { numRuns: tries(50) },
  );
  expect(rangesThatFit(3_072, 16_000)).toBeGreaterThan(700);
});

test('encodeState returns no bytes below 24, and only the read position at 24', () => {
  const offset = 2 ** 52;
  const seen = offset + 2 ** 51;
  const given = { seen, ranges: [{ from: offset + 9, to: offset + 12 }], tried: [], senders: [] };
  expect(encodeState(offset, given, 23)).toEqual(new Uint8Array());
  expect(decodeState(offset, encodeState(offset, given, 24))).toEqual({ seen, ranges: [], tried: [], senders: [] });
});
