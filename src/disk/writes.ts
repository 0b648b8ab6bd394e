/** Writes that LMDB has taken and not answered: how long they wait, and an end for those that it has lost. */
import type { Clock } from '../base/clock';

interface Waiting {
  readonly sinceMs: number;
  looks: number;
  readonly reject: (error: Error) => void;
}

export class Writes {
  private readonly waiting = new Set<Waiting>();

  constructor(private readonly clock: Clock) {}

  /** The same promise, which {@link Writes.end} rejects if it is not answered by then. */
  run<T>(writing: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const one = { sinceMs: this.clock.mono(), looks: 0, reject };
      this.waiting.add(one);
      writing.finally(() => this.waiting.delete(one)).then(resolve, reject);
    });
  }

  /** How long the oldest one waits, and the number of calls since it began: a stopped process waits without calls. */
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
