/** Counts the messages of a partition whose entries this instance does not serve. */
import type { Clock, Timer } from '../../base/clock';
import type { Message } from '../message';
import type { Unserved } from '../types';

const entriesMax = 100;
/**
 * Delays before a partition is offered to other instances. The first offer is immediate, later delays double up to the
 * maximum. Without delays, a partition would move constantly between two instances that each serve only a part of its
 * entries.
 */
const offerDelayMsMin = 1_000;
const offerDelayMsMax = 5_000;

export interface UnservedParts {
  readonly clock: Clock;
  /** Number of times that this instance has released the partition because of such messages. */
  readonly givenAway: number;
  /** Called once for each entry. */
  report(reason: string): void;
  /** Offers the partition to instances that serve one of the entries. */
  offer(entries: readonly string[]): void;
}

export class UnservedEntries {
  readonly #entries = new Map<string, Unserved>();
  #offer: Timer | undefined;

  constructor(private readonly parts: UnservedParts) {}

  add({ entry, id, offset }: Message): void {
    const known = this.#entries.get(entry);
    if (!known && this.#entries.size >= entriesMax) return;
    const { waiting, sinceMs } = known ?? { waiting: 0, sinceMs: this.parts.clock.now() };
    this.#entries.set(entry, { entry, waiting: waiting + 1, sinceMs });
    if (known) return;
    this.#offerLater();
    this.parts.report(`this instance does not serve ${entry}: ${id} at ${offset} and later messages of its key wait`);
  }

  #offerLater(): void {
    const { clock, givenAway } = this.parts;
    const delayMs = givenAway === 0 ? 0 : Math.min(offerDelayMsMin * 2 ** Math.min(givenAway - 1, 10), offerDelayMsMax);
    this.#offer ??= clock.after(delayMs, () => {
      this.#offer = undefined;
      this.parts.offer([...this.#entries.keys()]);
    });
  }
  end(): void {
    this.#offer?.cancel();
  }

  /** Removes a message that was settled although this instance does not serve its entry. */
  settled({ entry }: { readonly entry: string }): void {
    if (this.#entries.size === 0) return;
    const known = this.#entries.get(entry);
    if (!known) return;
    if (known.waiting > 1) this.#entries.set(entry, { ...known, waiting: known.waiting - 1 });
    else this.#entries.delete(entry);
  }

  get size(): number {
    return this.#entries.size;
  }
  all(): Iterable<Unserved> {
    return this.#entries.values();
  }
}

/** Returns one line for each entry, summed over several partitions. */
export function sumUp(unserved: readonly Unserved[]): readonly Unserved[] {
  const sums = new Map<string, Unserved>();
  for (const one of unserved) {
    const { waiting = 0, sinceMs = Infinity } = sums.get(one.entry) ?? {};
    sums.set(one.entry, { ...one, waiting: waiting + one.waiting, sinceMs: Math.min(sinceMs, one.sinceMs) });
  }
  return [...sums.values()];
}
