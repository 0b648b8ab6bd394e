import * as fc from 'fast-check';
import { limits } from '../../src/base/limits';
import { openFilter, silentMsMax } from '../../src/work/duplicates';

test('lets pass what is above the last position of its incarnation, and nothing else', () => {
  const record = fc.record({ incarnation: fc.constantFrom('a', 'b', 'c'), position: fc.nat(20) });
  fc.assert(
    fc.property(fc.array(record), fc.nat(), (records, cut) => {
      const last = new Map<string, number>();
      let filter = openFilter([]);
      records.forEach(({ incarnation, position }, index) => {
        if (index === cut % (records.length + 1)) filter = openFilter(filter.senders()); // another owner goes on with it
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

test('position 0 of a sender never heard of is fresh, once', () => {
  const filter = openFilter([]);
  expect([filter.fresh('a', 0, 1), filter.fresh('a', 0, 1), filter.fresh('a', 1, 1)]).toEqual([true, false, true]);
});

test('what was forgotten is fresh again, with all that its sender sent after it, and nothing before it', () => {
  const filter = openFilter([]);
  for (const position of [1, 2, 3, 4]) filter.fresh('a', position, 1);
  filter.fresh('b', 4, 1);
  filter.forget('a', 4);
  filter.forget('a', 3);
  filter.forget('nobody', 1);
  expect([2, 3, 4, 4].map((position) => filter.fresh('a', position, 1))).toEqual([false, true, true, false]);
  expect(filter.fresh('b', 4, 1)).toBe(false);
});

test('names the sender heard last first, also when what it sent was a repetition', () => {
  const filter = openFilter([]);
  for (const incarnation of ['a', 'b', 'c']) filter.fresh(incarnation, 5, 1000);
  filter.fresh('a', 1, 2000);
  expect(filter.senders()).toEqual([
    { incarnation: 'a', position: 5, timeMs: 2000 },
    { incarnation: 'c', position: 5, timeMs: 1000 },
    { incarnation: 'b', position: 5, timeMs: 1000 },
  ]);
});

test('forgets who was silent for more than 7 days of record time, and nobody else', () => {
  const filter = openFilter([]);
  filter.fresh('old', 5, 0);
  filter.fresh('younger', 5, 1);
  filter.fresh('new', 5, silentMsMax + 1);
  expect(filter.senders().map(({ incarnation }) => incarnation)).toEqual(['new', 'younger']);
});

test('keeps the newest senders within the bound', () => {
  const filter = openFilter([]);
  for (let n = 0; n < limits.incarnationsMax + 3; n++) filter.fresh(`i${n}`, 1, 1000);
  const senders = filter.senders();
  expect(senders).toHaveLength(limits.incarnationsMax);
  expect(senders.at(-1)?.incarnation).toBe('i3');
});
