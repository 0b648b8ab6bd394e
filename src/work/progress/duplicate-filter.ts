/**
 * Drops records that a partition holds twice: each carries its sender's incarnation and a position that only rises.
 *
 * The guarantee does not rest on this filter. A log writes what one append gives it at most once, whatever it resends
 * (see `Log.append`), so a partition holds a record twice only if something else copied it: a mirror of the cluster, or
 * a producer that resends without a producer id, such as an earlier version of busbar. Therefore its memory has a fixed
 * size. A commit carries the senders of the newest records, so its cost does not depend on how many senders there are.
 */
import { limits } from '../../base/limits';

export interface Filter {
  /**
   * Whether the record is not a copy of one that was here before. Notes the position of its sender. `timeMs` is when
   * the log took the record.
   */
  fresh(incarnation: string, position: number, timeMs: number): boolean;
  /** The log has lost that record before it was handled, so it and later ones of its sender are fresh again. */
  forget(incarnation: string, position: number): void;
  /** The senders that a commit carries, the one with the newest record first. */
  senders(): readonly SenderPlace[];
}
/** The last position of a sender on this partition, and when its newest record arrived. */
export interface SenderPlace {
  readonly incarnation: string;
  readonly position: number;
  readonly timeMs: number;
}
/** `senders` as {@link Filter.senders} gave them. */
export type MakeFilter = (senders: readonly SenderPlace[]) => Filter;

/** Exact for the senders that it remembers: a record that is not above the last position of its sender is a copy. */
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

interface Place {
  position: number;
  timeMs: number;
}

/** Both maps are in the order of the newest records of their senders, and all of `#newest` are newer than `#older`. */
class StampFilter implements Filter {
  readonly #newest = new Map<string, Place>();
  readonly #older = new Map<string, Place>();
  #last = '';

  constructor(senders: readonly SenderPlace[]) {
    // A commit of an earlier version can carry more than one of this version does.
    for (const { incarnation, position, timeMs } of senders.toReversed()) this.#put(incarnation, { position, timeMs });
  }

  fresh(incarnation: string, position: number, timeMs: number): boolean {
    const place = this.#newest.get(incarnation) ?? this.#older.get(incarnation) ?? { position: -1, timeMs };
    const fresh = position > place.position;
    if (fresh) place.position = position;
    place.timeMs = timeMs;
    if (incarnation !== this.#last) this.#put(incarnation, place);
    return fresh;
  }

  forget(incarnation: string, position: number): void {
    const place = this.#newest.get(incarnation) ?? this.#older.get(incarnation);
    if (place) place.position = Math.min(place.position, position - 1);
  }

  senders(): readonly SenderPlace[] {
    return Array.from(this.#newest, ([incarnation, place]) => ({ incarnation, ...place })).reverse();
  }

  #put(incarnation: string, place: Place): void {
    if (!this.#newest.delete(incarnation)) this.#older.delete(incarnation);
    this.#newest.set(incarnation, place);
    this.#last = incarnation;
    if (this.#newest.size <= limits.committedSendersMax) return;
    for (const [oldest, its] of this.#newest) {
      this.#newest.delete(oldest);
      this.#older.set(oldest, its);
      break;
    }
    if (this.#newest.size + this.#older.size <= limits.incarnationsMax) return;
    for (const oldest of this.#older.keys()) {
      this.#older.delete(oldest);
      break;
    }
  }
}
