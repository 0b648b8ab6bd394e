/**
 * Drops records that a partition holds twice. Each carries its sender's incarnation and a position that only rises.
 *
 * Without a spool the guarantee does not depend on this filter. A log writes the records of one append at most once,
 * whatever it resends (see `Log.append`). A partition then holds a record twice only if another program copied it.
 * Examples are a mirror of the cluster, or a producer that resends without a producer id, such as an earlier version of
 * busbar. A spool appends a list again when its outcome is unknown, so its guarantee holds within the memory below.
 *
 * The memory of the filter has a fixed size. A commit carries the senders of the newest records, so its cost does not
 * depend on the number of senders.
 */
import { limits } from '../../base/limits';

export interface Filter {
  /**
   * Returns true when the record is not a copy of an earlier one, and notes the position of its sender. `timeMs` is the
   * log time of the record.
   */
  fresh(incarnation: string, position: number, timeMs: number): boolean;
  /** Returns whether the filter remembers the sender. */
  knows(incarnation: string): boolean;
  /** Notes the position of a record that an earlier owner has read. */
  recall(incarnation: string, position: number, timeMs: number): void;
  /** Accepts this record and later ones of its sender again, because the log lost the record before it was handled. */
  forget(incarnation: string, position: number): void;
  /** Returns the senders that a commit carries, the sender of the newest record first. */
  senders(): readonly SenderPlace[];
}
/** Last position of a sender on this partition, and the log time of its newest record. */
export interface SenderPlace {
  readonly incarnation: string;
  readonly position: number;
  readonly timeMs: number;
}
/** Creates a filter from senders that {@link Filter.senders} returned. */
export type MakeFilter = (senders: readonly SenderPlace[]) => Filter;

/**
 * Creates a filter that is exact for the senders it remembers. A record at or below its sender's last position is a
 * copy.
 */
export const openFilter: MakeFilter = (senders) => new StampFilter(senders);

/** Returns each sender of either list with the higher position, first those of the first list in its order. */
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

/**
 * Remembers senders in two maps, ordered by their newest records. All of `#newest` are newer than those of `#older`.
 */
class StampFilter implements Filter {
  readonly #newest = new Map<string, Place>();
  readonly #older = new Map<string, Place>();
  #last = '';

  constructor(senders: readonly SenderPlace[]) {
    // A commit of an earlier version can carry more senders than one of this version.
    for (const { incarnation, position, timeMs } of senders.toReversed()) this.#put(incarnation, { position, timeMs });
  }

  fresh(incarnation: string, position: number, timeMs: number): boolean {
    const place = this.#placeOf(incarnation) ?? { position: -1, timeMs };
    const fresh = position > place.position;
    if (fresh) place.position = position;
    place.timeMs = timeMs;
    if (incarnation !== this.#last) this.#put(incarnation, place);
    return fresh;
  }

  #placeOf(incarnation: string): Place | undefined {
    return this.#newest.get(incarnation) ?? this.#older.get(incarnation);
  }
  knows(incarnation: string): boolean {
    return this.#placeOf(incarnation) !== undefined;
  }
  /** A sender that was unknown is no newer than those of the commit, which had no room for it. */
  recall(incarnation: string, position: number, timeMs: number): void {
    const place = this.#placeOf(incarnation);
    if (place) place.position = Math.max(place.position, position);
    else this.#older.set(incarnation, { position, timeMs });
    this.#forgetOldest();
  }

  forget(incarnation: string, position: number): void {
    const place = this.#placeOf(incarnation);
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
    this.#forgetOldest();
  }
  #forgetOldest(): void {
    if (this.#newest.size + this.#older.size <= limits.incarnationsMax) return;
    for (const oldest of this.#older.keys()) {
      this.#older.delete(oldest);
      break;
    }
  }
}
