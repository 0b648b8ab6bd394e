/** Measures durations in a fixed number of buckets, and returns their median and 99th percentile. */

/** Median and 99th percentile of durations, in ms. The error is at most 5 %. */
export interface Spread {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Buckets per doubling of the duration. */
const perDoubling = 8;
/** Bucket of a duration of 1 ms. Shorter ones, down to 0.03 ms, have the buckets below. */
const ofOneMs = 40;
/** Number of buckets. The last one holds durations of 4 days and more. */
const buckets = 264;
/**
 * Time after which a new generation of counts begins, in ms. The percentiles cover the durations of the last one to two
 * generations. While no duration ends, they cover the last ones, so that a handler of minutes has percentiles too.
 */
const generationMs = 30_000;

class Generation {
  readonly counts = new Uint32Array(buckets);
  total = 0;
  minMs = Infinity;
  maxMs = 0;
  constructor(readonly startedMs: number) {}
}

export class Durations {
  #now: Generation | undefined;
  #before: Generation | undefined;

  add(nowMs: number, durationMs: number): void {
    const ms = Math.max(0, durationMs);
    const isOver = !this.#now || Math.abs(nowMs - this.#now.startedMs) >= generationMs;
    if (isOver) this.#before = this.#now;
    const now = isOver || !this.#now ? new Generation(nowMs) : this.#now;
    this.#now = now;
    const bucket = bucketOf(ms);
    now.counts[bucket] = (now.counts[bucket] ?? 0) + 1;
    now.total++;
    now.minMs = Math.min(now.minMs, ms);
    now.maxMs = Math.max(now.maxMs, ms);
  }

  /** Returns null while no duration was measured. */
  read(): Spread | null {
    const all = [this.#now, this.#before].filter((one) => one !== undefined);
    const total = all.reduce((sum, one) => sum + one.total, 0);
    if (total === 0) return null;
    const minMs = Math.min(...all.map((one) => one.minMs));
    const maxMs = Math.max(...all.map((one) => one.maxMs));
    const atMost = (share: number): number => {
      let left = Math.ceil(total * share);
      for (let bucket = 0; bucket < buckets; bucket++) {
        for (const { counts } of all) left -= counts[bucket] ?? 0;
        if (left <= 0) return Math.min(maxMs, Math.max(minMs, middleOf(bucket)));
      }
      return maxMs;
    };
    return { p50Ms: atMost(0.5), p99Ms: atMost(0.99) };
  }
}

function bucketOf(ms: number): number {
  if (ms <= 0) return 0;
  return Math.min(buckets - 1, Math.max(0, Math.ceil(Math.log2(ms) * perDoubling) + ofOneMs));
}
function middleOf(bucket: number): number {
  return 2 ** ((bucket - 0.5 - ofOneMs) / perDoubling);
}
