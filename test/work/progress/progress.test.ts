import fc from 'fast-check';
import { isSameProgress, mergeProgress, progressOf, type Progress } from '../../../src/work/progress/progress';
import { emptyState, encodeState, type State } from '../../../src/work/progress/commit-state';

const settled = ({ offset, state }: Progress, at: number): boolean =>
  at < offset || state.ranges.some(({ from, to }) => at >= from && at < to);
const progress = (offset: number, more: Partial<State> = {}): Progress => ({
  offset,
  state: { ...emptyState(offset), ...more },
});

/** An arbitrary set of settled offsets below 30, in the form of a commit. */
const any = fc.uniqueArray(fc.nat(29)).map((offsets): Progress => {
  const all = new Set(offsets);
  let offset = 0;
  while (all.has(offset)) offset++;
  const ranges: { from: number; to: number }[] = [];
  for (let at = offset; at < 30; at++) {
    if (!all.has(at)) continue;
    const last = ranges.at(-1);
    if (last?.to === at) last.to = at + 1;
    else ranges.push({ from: at, to: at + 1 });
  }
  return progress(offset, { ranges, seen: ranges.at(-1)?.to ?? offset });
});

test('a message is settled after a merge if either side has settled it', () => {
  fc.assert(
    fc.property(any, any, (log, own) => {
      const merged = mergeProgress(log, own);
      for (let at = 0; at < 31; at++) expect(settled(merged, at)).toBe(settled(log, at) || settled(own, at));
      expect(settled(merged, merged.offset)).toBe(false);
      const bytes = encodeState(merged.offset, merged.state, 3_000);
      expect(progressOf({ offset: merged.offset, state: bytes }, fail)).toEqual(merged);
    }),
  );
  function fail(reason: string): void {
    throw new Error(reason);
  }
});

test('a merge with itself, or with less progress, changes nothing', () => {
  fc.assert(
    fc.property(any, (one) => {
      expect(isSameProgress(mergeProgress(one, one), one)).toBe(true);
      expect(isSameProgress(mergeProgress(one, progress(0)), one)).toBe(true);
      expect(isSameProgress(mergeProgress(progress(0), one), one)).toBe(true);
    }),
  );
});

test('a merge keeps the higher attempt count, and none of settled messages', () => {
  const log = progress(2, {
    seen: 9,
    tried: [
      { offset: 3, attempts: 1, running: true },
      { offset: 5, attempts: 1, running: false },
      { offset: 7, attempts: 3, running: false },
    ],
  });
  const own = progress(1, {
    seen: 8,
    ranges: [{ from: 7, to: 8 }],
    tried: [
      { offset: 1, attempts: 4, running: false },
      { offset: 3, attempts: 1, running: false },
      { offset: 5, attempts: 2, running: false },
    ],
  });
  expect(mergeProgress(log, own)).toEqual(
    progress(2, {
      seen: 9,
      ranges: [{ from: 7, to: 8 }],
      tried: [
        { offset: 3, attempts: 1, running: true },
        { offset: 5, attempts: 2, running: false },
      ],
    }),
  );
});

test('a merge keeps the higher start of chosen ids, and the newest one', () => {
  const chosen = (from: number, offset: number) => ({ from, newest: { offset, timeMs: offset } });
  const [log, own] = [progress(3, { chosen: chosen(1, 9) }), progress(5, { seen: 20, chosen: chosen(4, 7) })];
  expect(mergeProgress(log, own).state.chosen).toEqual(chosen(4, 9));
  expect(mergeProgress(own, log).state.chosen).toEqual(chosen(4, 9));
  expect(mergeProgress(log, progress(5)).state.chosen).toEqual(chosen(1, 9));
  expect(mergeProgress(progress(3), progress(5)).state).not.toHaveProperty('chosen');
});

test('a merge keeps the highest position of each sender', () => {
  const sender = (incarnation: string, position: number) => ({ incarnation, position, timeMs: 1_000 });
  const log = progress(4, { seen: 4, senders: [sender('aa', 4), sender('bb', 2)] });
  const own = progress(3, { seen: 6, senders: [sender('bb', 3), sender('cc', 1)] });
  expect(mergeProgress(log, own).state.senders).toEqual([sender('bb', 3), sender('cc', 1), sender('aa', 4)]);
});
