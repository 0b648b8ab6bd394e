/** Which records of a partition are settled: the watermark, and the settled ranges above it that a commit carries. */
import type { Stamp } from '../../format/envelope';

/** Offsets from `from` up to but without `to`, all settled as far as they exist. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export interface Watermark {
  /** The lowest offset not yet settled: what a commit says. */
  readonly at: number;
  /** Everything below was read, here or by the owner before: there the ranges decide, above it the filter. */
  readonly seen: number;
  /** Settled ranges above the watermark; each has something unsettled below it. */
  readonly openRanges: number;
  /** Records that were seen and are not settled. */
  readonly unsettled: number;
  /**
   * A record was read that has to be settled. Offsets rise; the ones left out need no settling.
   * False when the commit this started from says that it is settled: then it is not to be handled again.
   */
  see(offset: number, stamp?: Stamp): boolean;
  /** Reading has come to `next`, though the last records may have needed no settling. */
  pass(next: number): void;
  /** False when the record is not open: never seen, or settled before. */
  settle(offset: number): boolean;
  ranges(): readonly Range[];
  /** Stamps of the records from `offset` on that were seen with one and are not settled. */
  unsettledFrom(offset: number): readonly Stamp[];
}
export type MakeWatermark = (at: number, seen: number, ranges: readonly Range[]) => Watermark;

/** An unsettled record, and the settled range between it and the next unsettled one (empty: `to` is 0). */
interface Mark {
  readonly offset: number;
  readonly stamp: Stamp | undefined;
  lower: Mark | undefined;
  upper: Mark | undefined;
  from: number;
  to: number;
}

/**
 * A chain of the unsettled records, so that what it holds and what a settling costs depend on those alone:
 * a million messages settled above one that is stuck are one range.
 */
export const openWatermark: MakeWatermark = (at, seen, ranges) => new Chain(at, seen, ranges);

class Chain implements Watermark {
  openRanges: number;
  #next: number;
  readonly #seenBefore: number;
  /** Ranges of the commit this started from that reading has not reached yet, from `#reached` on. */
  readonly #before: readonly Range[];
  #reached = 0;
  /** Up to here all is settled by a range of that commit which reading is within. */
  #coveredTo = 0;
  readonly #marks = new Map<number, Mark>();
  #lowest: Mark | undefined;
  #highest: Mark | undefined;

  constructor(at: number, seen: number, ranges: readonly Range[]) {
    this.#next = at;
    this.#seenBefore = seen;
    this.#before = ranges;
    this.openRanges = ranges.length;
  }

  get at(): number {
    return this.#lowest ? this.#lowest.offset : Math.max(this.#next, this.#coveredTo);
  }
  get seen(): number {
    return Math.max(this.#next, this.#seenBefore);
  }
  get unsettled(): number {
    return this.#marks.size;
  }

  see(offset: number, stamp?: Stamp): boolean {
    this.#next = offset + 1;
    this.#reach(offset);
    if (offset < this.#coveredTo) return false;
    const mark: Mark = { offset, stamp, lower: this.#highest, upper: undefined, from: 0, to: 0 };
    if (this.#highest) this.#highest.upper = mark;
    else this.#lowest = mark;
    this.#highest = mark;
    this.#marks.set(offset, mark);
    return true;
  }

  pass(next: number): void {
    this.#next = Math.max(this.#next, next);
    this.#reach(next - 1);
  }

  settle(offset: number): boolean {
    const mark = this.#marks.get(offset);
    if (!mark) return false;
    this.#marks.delete(offset);
    const { lower, upper } = mark;
    if (upper) upper.lower = lower;
    else this.#highest = lower;
    if (lower) {
      lower.upper = upper;
      this.#grow(lower, offset, mark.to || offset + 1);
    } else this.#lowest = upper;
    if (mark.to) this.openRanges--; // its range is now part of the one below, or lies below the watermark
    return true;
  }

  ranges(): readonly Range[] {
    const found: Range[] = [];
    for (let mark = this.#lowest; mark; mark = mark.upper) if (mark.to) found.push({ from: mark.from, to: mark.to });
    for (let at = this.#reached; at < this.#before.length; at++) {
      const range = this.#before[at];
      if (range) found.push(range);
    }
    return found;
  }

  unsettledFrom(offset: number): readonly Stamp[] {
    const found: Stamp[] = [];
    for (let mark = this.#highest; mark && mark.offset >= offset; mark = mark.lower) {
      if (mark.stamp) found.push(mark.stamp);
    }
    return found;
  }

  /** Makes the ranges of the old commit that begin at or below `offset` ranges of this chain. */
  #reach(offset: number): void {
    for (let range = this.#before[this.#reached]; range && range.from <= offset; range = this.#before[this.#reached]) {
      this.#reached++;
      this.openRanges--;
      this.#coveredTo = range.to;
      if (this.#highest) this.#grow(this.#highest, range.from, range.to);
    }
  }

  #grow(mark: Mark, from: number, to: number): void {
    if (mark.to === 0) {
      this.openRanges++;
      mark.from = from;
    }
    mark.to = to;
  }
}
