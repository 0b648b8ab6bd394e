import * as fc from 'fast-check';
import { openWatermark, type Range } from '../../../src/work/progress/watermark';
import { tries } from '../../heavy';

/** A brute-force model of the watermark: the existing offsets, and whether each is settled. */
class Model {
  readonly open = new Map<number, boolean>();
  constructor(public next: number) {}
  get at(): number {
    for (const [offset, settled] of this.open) if (!settled) return offset;
    return this.next;
  }
  ranges(): Range[] {
    const found: Range[] = [];
    let last: { from: number; to: number } | undefined;
    for (const [offset, settled] of this.open) {
      if (!settled) last = undefined;
      else if (offset < this.at) continue;
      else if (last) last.to = offset + 1;
      else found.push((last = { from: offset, to: offset + 1 }));
    }
    return found;
  }
}
const settledIn = (ranges: readonly Range[], offset: number): boolean =>
  ranges.some(({ from, to }) => offset >= from && offset < to);

/** Steps: the gap before the next record, or the index of the open record to settle. */
const steps = fc.array(fc.oneof(fc.record({ gap: fc.nat(3) }), fc.record({ pick: fc.nat(1000) })), { maxLength: 200 });

/** Compares like `expect`, which would take most of the time of these tests. */
const same = (what: string, found: unknown, expected: unknown): void => {
  if (JSON.stringify(found) !== JSON.stringify(expected))
    throw new Error(`${what}: ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`);
};

test('the watermark agrees with a model for gaps and any order of settling', () => {
  fc.assert(
    fc.property(fc.nat(1_000_000_000_000), steps, (start, script) => {
      const watermark = openWatermark(start, start, []);
      const model = new Model(start);
      for (const step of script) {
        if ('gap' in step) {
          const offset = model.next + step.gap;
          same('see', watermark.see(offset), true);
          model.open.set(offset, false);
          model.next = offset + 1;
        } else {
          const open = [...model.open].filter(([, settled]) => !settled).map(([offset]) => offset);
          const picked = open[step.pick % open.length];
          if (picked === undefined) continue;
          same('settle', [watermark.settle(picked), watermark.settle(picked)], [true, false]);
          model.open.set(picked, true);
        }
        const ranges = model.ranges();
        const unsettled = [...model.open.values()].filter((settled) => !settled).length;
        const { at, seen, openRanges } = watermark;
        same('ranges', watermark.ranges(), ranges);
        same('figures', [at, seen, openRanges, watermark.unsettled], [model.at, model.next, ranges.length, unsettled]);
      }
    }),
    { numRuns: tries(200) },
  );
});

test('takeovers at any moment neither repeat a settled record nor lose one', () => {
  const life = fc.record({ reads: fc.nat(40), gaps: fc.array(fc.nat(2)), settles: fc.array(fc.nat(1000)) });
  fc.assert(
    fc.property(fc.array(life, { minLength: 1, maxLength: 6 }), (lives) => {
      const settled = new Set<number>();
      const exists: number[] = [];
      let commit: { at: number; seen: number; ranges: readonly Range[] } = { at: 0, seen: 0, ranges: [] };
      for (const { reads, gaps, settles } of lives) {
        const watermark = openWatermark(commit.at, commit.seen, commit.ranges);
        const open: number[] = [];
        let next = commit.at;
        for (let n = 0; n < reads; n++) {
          const known = exists.find((offset) => offset >= next);
          const offset = known ?? next + (gaps[n % Math.max(1, gaps.length)] ?? 0);
          if (known === undefined) exists.push(offset);
          next = offset + 1;
          same('handled again or skipped', watermark.see(offset), !settled.has(offset));
          if (!settled.has(offset)) open.push(offset);
        }
        for (const pick of settles) {
          const [offset] = open.splice(pick % Math.max(1, open.length), 1);
          if (offset === undefined) continue;
          watermark.settle(offset);
          settled.add(offset);
        }
        commit = { at: watermark.at, seen: watermark.seen, ranges: watermark.ranges() };
        const committed = exists.filter((offset) => offset < commit.at || settledIn(commit.ranges, offset));
        same(
          'committed',
          committed,
          [...settled].toSorted((a, b) => a - b),
        );
        same('openRanges', watermark.openRanges, commit.ranges.length);
      }
    }),
    { numRuns: tries(500) },
  );
});

test('reading past records that need no settling moves the watermark', () => {
  const watermark = openWatermark(5, 5, []);
  watermark.pass(9);
  expect([watermark.at, watermark.seen]).toEqual([9, 9]);
  watermark.see(9);
  watermark.pass(12);
  expect([watermark.at, watermark.seen]).toEqual([9, 12]);
  watermark.settle(9);
  expect(watermark.at).toBe(12);
});

test('100,000 records settled above an unsettled one are one range', () => {
  const watermark = openWatermark(0, 0, []);
  watermark.see(0);
  for (let offset = 1; offset < 100_000; offset++) {
    watermark.see(offset);
    watermark.settle(offset);
  }
  expect(watermark.ranges()).toEqual([{ from: 1, to: 100_000 }]);
  expect([watermark.at, watermark.unsettled]).toEqual([0, 1]);
  watermark.settle(0);
  expect([watermark.at, watermark.openRanges]).toEqual([100_000, 0]);
});
