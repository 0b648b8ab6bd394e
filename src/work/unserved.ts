/** Counts the messages of a partition whose entries this instance does not serve. */
import type { Clock } from '../base/clock';
import type { Message } from './message';
import type { Unserved } from './types';

const entriesMax = 100;

export class UnservedEntries {
  readonly #entries = new Map<string, Unserved>();

  constructor(
    private readonly clock: Clock,
    /** Called once for each entry: an instance of another version can serve it. */
    private readonly report: (reason: string) => void,
  ) {}

  add({ entry, id, offset }: Message): void {
    const known = this.#entries.get(entry);
    if (!known && this.#entries.size >= entriesMax) return;
    const { waiting, sinceMs } = known ?? { waiting: 0, sinceMs: this.clock.now() };
    this.#entries.set(entry, { entry, waiting: waiting + 1, sinceMs });
    if (known) return;
    this.report(`${entry} is not served here: ${id} at ${offset} waits, and what comes after it under its key`);
  }

  all(): Iterable<Unserved> {
    return this.#entries.values();
  }
}

/** One line for each entry over several partitions. */
export function sumUp(unserved: readonly Unserved[]): readonly Unserved[] {
  const sums = new Map<string, Unserved>();
  for (const one of unserved) {
    const { waiting = 0, sinceMs = Infinity } = sums.get(one.entry) ?? {};
    sums.set(one.entry, { ...one, waiting: waiting + one.waiting, sinceMs: Math.min(sinceMs, one.sinceMs) });
  }
  return [...sums.values()];
}
