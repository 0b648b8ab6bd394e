/** Drops what a partition holds twice: each record carries its sender's incarnation and a position that only rises. */
import { limits } from '../base/limits';

export interface Filter {
  /** Whether the record is not a repetition; notes how far its sender has come. `timeMs` is when the log took it. */
  fresh(incarnation: string, position: number, timeMs: number): boolean;
  /** The log has lost that record before it was handled: it may come again, and so may what was sent after it. */
  forget(incarnation: string, position: number): void;
  /** The one heard last comes first. */
  senders(): readonly SenderPlace[];
}
/** How far a sender was heard on this partition, and when last. */
export interface SenderPlace {
  readonly incarnation: string;
  readonly position: number;
  readonly timeMs: number;
}
/** `senders` as {@link Filter.senders} gave them. */
export type MakeFilter = (senders: readonly SenderPlace[]) => Filter;

/** A sender that was silent for so long is forgotten; it resends nothing that is older. */
export const silentMsMax = 7 * 24 * 3_600_000;

/**
 * Exact and without a window: a sender never goes past a record whose outcome it does not know, so what is not above
 * the last position of its incarnation was here before. At most `limits.incarnationsMax` senders, the newest ones.
 */
export const openFilter: MakeFilter = (senders) => new StampFilter(senders);

/** The position of each sender that either list has, the higher one; in the order of the first list. */
export function mergeSenders(newer: readonly SenderPlace[], older: readonly SenderPlace[]): readonly SenderPlace[] {
  const merged = new Map(newer.map((sender) => [sender.incarnation, sender]));
  for (const sender of older) {
    const known = merged.get(sender.incarnation);
    if (!known) merged.set(sender.incarnation, sender);
    else if (sender.position > known.position) merged.set(sender.incarnation, { ...known, position: sender.position });
  }
  return [...merged.values()];
}

class StampFilter implements Filter {
  /** In the order they were heard, the newest last. */
  readonly #heard = new Map<string, { position: number; timeMs: number }>();
  #newest = '';

  constructor(senders: readonly SenderPlace[]) {
    for (const { incarnation, position, timeMs } of senders.toReversed()) {
      this.#heard.set(incarnation, { position, timeMs });
      this.#newest = incarnation;
    }
  }

  fresh(incarnation: string, position: number, timeMs: number): boolean {
    const place = this.#heard.get(incarnation);
    const fresh = !place || position > place.position;
    if (place) {
      if (fresh) place.position = position;
      place.timeMs = timeMs;
    }
    if (incarnation !== this.#newest) this.#moveUp(incarnation, place ?? { position, timeMs });
    return fresh;
  }

  forget(incarnation: string, position: number): void {
    const place = this.#heard.get(incarnation);
    if (place) place.position = Math.min(place.position, position - 1);
  }

  senders(): readonly SenderPlace[] {
    return [...this.#heard].toReversed().map(([incarnation, place]) => ({ incarnation, ...place }));
  }

  #moveUp(incarnation: string, place: { position: number; timeMs: number }): void {
    this.#heard.delete(incarnation);
    this.#heard.set(incarnation, place);
    this.#newest = incarnation;
    for (const [oldest, { timeMs }] of this.#heard) {
      if (this.#heard.size <= limits.incarnationsMax && timeMs >= place.timeMs - silentMsMax) return;
      this.#heard.delete(oldest);
    }
  }
}
