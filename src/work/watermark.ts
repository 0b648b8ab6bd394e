/** Which records of a partition are settled: the watermark, and the settled ranges above it that a commit carries. */

/** Offsets from `from` up to but without `to`, all settled as far as they exist. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export interface Watermark {
  /** The lowest offset not yet settled: what a commit says. */
  readonly at: number;
  /** Everything below was read: there the ranges decide, above it the filter. */
  readonly seen: number;
  /** Settled ranges above the watermark; each has something unsettled below it. */
  readonly openRanges: number;
  /** Records that were seen and are not settled. */
  readonly unsettled: number;
  /**
   * A record was read that has to be settled. Offsets rise; the ones left out need no settling.
   * False when the commit this started from says that it is settled: then it is not to be handled again.
   */
  see(offset: number): boolean;
  /** Reading has come to `next`, though the last records may have needed no settling. */
  pass(next: number): void;
  /** False when the record is not open: never seen, or settled before. */
  settle(offset: number): boolean;
  ranges(): readonly Range[];
  /** Starts with what a commit carried; before the first `see`. */
  restore(seen: number, ranges: readonly Range[]): void;
}
