import * as fc from 'fast-check';
import { limits } from '../../src/base/limits';
import { openIdWindow, type Entered, type IdWindow } from '../../src/delivery/id-window';
import { tries } from '../heavy';

const resize = (id: string) => ({ entry: 'photos.resize', id });
const record = (offset: number, timeMs = 0, body = 'a'): Entered => ({ offset, timeMs, value: Buffer.from(body) });

test('a later record of the same id and body is a copy, counted from the first one', () => {
  const window = openIdWindow();
  expect(window.note(record(3), resize('x'))).toBeUndefined();
  expect(window.note(record(4), resize('y'))).toBeUndefined();
  expect(window.note(record(5), resize('x'))).toEqual({ offset: 3, same: true });
  expect(window.note(record(6), resize('x'))).toEqual({ offset: 3, same: true });
});

test('a record with another body is no copy, and its own later copies are', () => {
  const window = openIdWindow();
  window.note(record(0, 0, 'a'), resize('x'));
  expect(window.note(record(1, 0, 'b'), resize('x'))).toEqual({ offset: 0, same: false });
  expect(window.note(record(2, 0, 'a'), resize('x'))).toEqual({ offset: 0, same: true });
  expect(window.note(record(3, 0, 'b'), resize('x'))).toEqual({ offset: 1, same: true });
});

test('the same id of another entry is another message', () => {
  const window = openIdWindow();
  window.note(record(0), resize('x'));
  expect(window.note(record(1), { entry: 'photos.crop', id: 'x' })).toBeUndefined();
});

test('the same record is no copy of itself', () => {
  const window = openIdWindow();
  window.recall(record(7), resize('x'));
  expect(window.note(record(7), resize('x'))).toBeUndefined();
});

test('ids count for 10,000 records and for 10 minutes', () => {
  const window = openIdWindow();
  for (const id of ['x', 'y', 'z']) window.note(record(0, 1_000), resize(id));
  expect(window.note(record(limits.idWindowRecords, 1_000 + limits.idWindowMs), resize('x'))?.same).toBe(true);
  expect(window.note(record(limits.idWindowRecords + 1, 1_000), resize('y'))).toBeUndefined();
  expect(window.note(record(1, 1_001 + limits.idWindowMs), resize('z'))).toBeUndefined();
});

test('memory is bounded by the number of records and by time', () => {
  const window = openIdWindow();
  const long = 'x'.repeat(190);
  for (let offset = 0; offset < 30_000; offset++) window.note(record(offset), resize(`${long}${offset}`));
  expect(window.size).toBeLessThanOrEqual(limits.idWindowRecords + 1_000);
  for (let n = 0; n < 1_000; n++) window.note(record(30_000 + n, 2 * limits.idWindowMs), resize(`late ${n}`));
  expect(window.size).toBeLessThanOrEqual(2_000);
});

const step = fc.record({
  id: fc.constantFrom('p', 'q', 'r'),
  body: fc.constantFrom('a', 'b'),
  gap: fc.constantFrom(1, 2, 3_000, 5_000, 10_000),
  pauseMs: fc.constantFrom(0, 1, 200_000, 400_000, 600_000),
});

test('an owner that reads the window back decides like one that has read everything', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.nat(30), (steps, at) => {
      let [offset, timeMs] = [0, 0];
      const all = steps.map(({ id, body, gap, pauseMs }) => {
        const one = { record: record((offset += gap), (timeMs += pauseMs), body), chosen: resize(id) };
        return one;
      });
      const first = openIdWindow();
      const decided = all.map(({ record: one, chosen }) => first.note(one, chosen)?.same);
      const next: IdWindow = openIdWindow();
      const begin = all[at]?.record;
      for (const { record: one, chosen } of all.slice(0, at)) {
        const isOld = begin && begin.timeMs - one.timeMs > limits.idWindowMs;
        if (begin && begin.offset - one.offset <= limits.idWindowRecords && !isOld) next.recall(one, chosen);
      }
      const again = all.slice(at).map(({ record: one, chosen }) => next.note(one, chosen)?.same);
      expect(again).toEqual(decided.slice(at));
    }),
    { numRuns: tries(500) },
  );
});
