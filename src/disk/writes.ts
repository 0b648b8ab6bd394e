/**
 * Tracks the writes that LMDB has accepted and not answered: the time that they wait, and the rejection of lost ones.
 */
import type { Clock } from '../base/clock';

interface Waiting {
  readonly sinceMs: number;
  looks: number;
  readonly reject: (error: Error) => void;
}

export class Writes {
  private readonly waiting = new Set<Waiting>();

  constructor(private readonly clock: Clock) {}

  /** Returns the same promise, which {@link Writes.end} rejects if it has not settled by then. */
  run<T>(writing: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const one = { sinceMs: this.clock.mono(), looks: 0, reject };
      this.waiting.add(one);
      writing.finally(() => this.waiting.delete(one)).then(resolve, reject);
    });
  }

  /**
   * Returns the wait of the oldest write and the number of looks since it began. While this process is stopped, time
   * passes without looks, so the time alone proves nothing.
   */
  look(): { readonly waitedMs: number; readonly looks: number } {
    const [oldest] = this.waiting;
    if (oldest === undefined) return { waitedMs: 0, looks: 0 };
    oldest.looks += 1;
    return { waitedMs: this.clock.mono() - oldest.sinceMs, looks: oldest.looks };
  }

  end(error: Error): void {
    for (const { reject } of this.waiting) reject(error);
    this.waiting.clear();
  }
}
