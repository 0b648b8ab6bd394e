/** Tracks the settled records of a partition: the watermark, and the settled ranges above it that a commit carries. */
import type { Stamp } from '../../format/envelope-fields';

/** Offsets from `from` up to and excluding `to`. All existing records among them are settled. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export interface Watermark {
  /** Lowest offset that is not settled, which is the offset of a commit. */
  readonly at: number;
  /**
   * Offset below which every record was read, here or by an earlier owner. Below it the ranges detect duplicates, above
   * it the filter.
   */
  readonly seen: number;
  /** Number of settled ranges above the watermark. Each has an unsettled record below it. */
  readonly openRanges: number;
  /** Number of records that were read and are not settled. */
  readonly unsettled: number;
  /**
   * Records that a record was read that has to be settled. Offsets must rise, and skipped ones need no settling.
   * Returns false when the initial commit has the record as settled, so that it must not be handled.
   */
  see(offset: number, stamp?: Stamp): boolean;
  /** Advances the read position to `next`. The skipped records need no settling. */
  pass(next: number): void;
  /** Settles a record. Returns false when the record is not open: never read, or settled before. */
  settle(offset: number): boolean;
  ranges(): readonly Range[];
  /** Returns the stamps of unsettled records from `offset` on, if they have one. */
  unsettledFrom(offset: number): readonly Stamp[];
}
export type MakeWatermark = (at: number, seen: number, ranges: readonly Range[]) => Watermark;

/**
 * An unsettled record, and the settled range between it and the next unsettled one. `to` is 0 when the range is empty.
 */
interface Mark {
  readonly offset: number;
  readonly stamp: Stamp | undefined;
  lower: Mark | undefined;
  upper: Mark | undefined;
  from: number;
  to: number;
}

/**
 * Creates a chain of the unsettled records. Its memory and the cost of a settling depend on these alone. A million
 * messages settled above a stuck one are one range.
 */
export const openWatermark: MakeWatermark = (at, seen, ranges) => new Chain(at, seen, ranges);

class Chain implements Watermark {
  openRanges: number;
  #next: number;
  readonly #seenBefore: number;
  /** Ranges of the initial commit. Those from index `#reached` on are still ahead of the read position. */
  readonly #before: readonly Range[];
  #reached = 0;
  /**
   * End of the range of the initial commit that the read position is in. Everything below it in that range is settled.
   */
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
    if (mark.to) this.openRanges--; // its range now belongs to the record below, or is below the watermark
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

  /** Moves the ranges of the initial commit that begin at or below `offset` into this chain. */
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
