import * as fc from 'fast-check';
import { limits } from '../../../src/base/limits';
import { openFilter } from '../../../src/work/progress/duplicate-filter';

test('the filter accepts only positions above the last one of their incarnation', () => {
  const record = fc.record({ incarnation: fc.constantFrom('a', 'b', 'c'), position: fc.nat(20) });
  fc.assert(
    fc.property(fc.array(record), fc.nat(), (records, cut) => {
      const last = new Map<string, number>();
      let filter = openFilter([]);
      records.forEach(({ incarnation, position }, index) => {
        if (index === cut % (records.length + 1)) filter = openFilter(filter.senders()); // another owner continues with it
        const expected = position > (last.get(incarnation) ?? -1);
        expect(filter.fresh(incarnation, position, 1000)).toBe(expected);
        if (expected) last.set(incarnation, position);
      });
      expect(Object.fromEntries(filter.senders().map((sender) => [sender.incarnation, sender.position]))).toEqual(
        Object.fromEntries(last),
      );
    }),
  );
});

test('position 0 of an unknown sender is accepted once', () => {
  const filter = openFilter([]);
  expect([filter.fresh('a', 0, 1), filter.fresh('a', 0, 1), filter.fresh('a', 1, 1)]).toEqual([true, false, true]);
});

test('the filter accepts a forgotten position and later ones again, but none before it', () => {
  const filter = openFilter([]);
  for (const position of [1, 2, 3, 4]) filter.fresh('a', position, 1);
  filter.fresh('b', 4, 1);
  filter.forget('a', 4);
  filter.forget('a', 3);
  filter.forget('nobody', 1);
  expect([2, 3, 4, 4].map((position) => filter.fresh('a', position, 1))).toEqual([false, true, true, false]);
  expect(filter.fresh('b', 4, 1)).toBe(false);
});

test('a recalled sender is known, never lowers a position, and is not committed before newer ones', () => {
  const filter = openFilter([{ incarnation: 'a', position: 5, timeMs: 9_000 }]);
  expect([filter.knows('a'), filter.knows('b')]).toEqual([true, false]);
  filter.recall('a', 3, 1_000);
  filter.recall('b', 7, 1_000);
  filter.recall('b', 6, 2_000);
  expect(filter.knows('b')).toBe(true);
  expect(filter.senders().map(({ incarnation }) => incarnation)).toEqual(['a']);
  expect([filter.fresh('a', 5, 9_999), filter.fresh('b', 7, 9_999), filter.fresh('b', 8, 9_999)]).toEqual([
    false,
    false,
    true,
  ]);
});

test('recalled senders are forgotten above incarnationsMax, the oldest first', () => {
  const filter = openFilter([]);
  for (let n = 0; n < limits.incarnationsMax + 3; n++) filter.recall(`i${n}`, 1, n);
  expect([2, 3].map((n) => filter.knows(`i${n}`))).toEqual([false, true]);
});

test('senders() lists the most recent sender first, also after a duplicate', () => {
  const filter = openFilter([]);
  for (const incarnation of ['a', 'b', 'c']) filter.fresh(incarnation, 5, 1000);
  filter.fresh('a', 1, 2000);
  expect(filter.senders()).toEqual([
    { incarnation: 'a', position: 5, timeMs: 2000 },
    { incarnation: 'c', position: 5, timeMs: 1000 },
    { incarnation: 'b', position: 5, timeMs: 1000 },
  ]);
});

test('a commit carries at most committedSendersMax senders, the newest ones', () => {
  const filter = openFilter([]);
  const many = 3 * limits.committedSendersMax;
  for (let n = 0; n < many; n++) filter.fresh(`i${n}`, 1, 1000 + n);
  filter.fresh('i5', 2, 9000);
  const senders = filter.senders();
  expect(senders).toHaveLength(limits.committedSendersMax);
  expect(senders.slice(0, 2).map(({ incarnation }) => incarnation)).toEqual(['i5', `i${many - 1}`]);
  const next = openFilter(senders);
  expect(next.senders()).toEqual(senders);
  expect([next.fresh('i5', 2, 9001), next.fresh('i0', 1, 9001)]).toEqual([false, true]);
});

test('the owner remembers incarnationsMax senders, more than a commit carries', () => {
  const filter = openFilter([]);
  const many = limits.incarnationsMax + 3;
  for (let n = 0; n < many; n++) filter.fresh(`i${n}`, 1, 1000);
  const remembered = [3, 4, many - 1].map((n) => filter.fresh(`i${n}`, 1, 1000));
  expect(remembered).toEqual([false, false, false]);
  expect([0, 1, 2].map((n) => filter.fresh(`i${n}`, 1, 1000))).toEqual([true, true, true]);
});

test('the filter accepts more committed senders than it commits itself', () => {
  const senders = Array.from({ length: 2 * limits.committedSendersMax }, (_, n) => {
    return { incarnation: `i${n}`, position: n, timeMs: 9000 - n };
  });
  const filter = openFilter(senders);
  expect(filter.senders()).toEqual(senders.slice(0, limits.committedSendersMax));
  expect(senders.some(({ incarnation, position }) => filter.fresh(incarnation, position, 9001))).toBe(false);
});
