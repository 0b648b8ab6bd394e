/** Cached answers of other modules; dropped on all instances together, or by age. */

export const keptMs = 10_000;
const keptMax = 500;

interface Kept {
  readonly value: Promise<unknown>;
  readonly atMs: number;
}

export class Cache {
  readonly #kept = new Map<string, Kept>();
  #hits = 0;
  #misses = 0;
  #drops = 0;

  constructor(private readonly nowMs: () => number = () => performance.now()) {}

  get stats(): { cached: number; hits: number; misses: number; drops: number } {
    return { cached: this.#kept.size, hits: this.#hits, misses: this.#misses, drops: this.#drops };
  }

  /** Returns the cached result of `ask`, or calls it. Concurrent callers share one call. A rejection is not cached. */
  get<T>(key: string, ask: () => Promise<T>): Promise<T> {
    const kept = this.#kept.get(key);
    if (kept && this.nowMs() - kept.atMs < keptMs) {
      this.#hits++;
      // A key is always used with one function, so with one type.
      return kept.value as Promise<T>;
    }
    this.#misses++;
    const asked: Kept = { value: ask(), atMs: this.nowMs() };
    asked.value.catch(() => this.#kept.get(key) === asked && this.#kept.delete(key));
    this.#kept.delete(key);
    this.#kept.set(key, asked);
    this.#forgetOldest();
    return asked.value as Promise<T>;
  }

  /** Drops all answers, including pending ones, which can be older than the change. */
  drop(): void {
    this.#drops++;
    this.#kept.clear();
  }

  #forgetOldest(): void {
    for (const key of this.#kept.keys()) {
      if (this.#kept.size <= keptMax) return;
      this.#kept.delete(key);
    }
  }
}
