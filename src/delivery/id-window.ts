/**
 * Recognizes records of a partition that are one message, because they have the same entry and the same chosen id.
 *
 * A record is a copy if a record with its id exists at a lower offset, within `limits.idWindowRecords` offsets and
 * `limits.idWindowMs` before it. This depends on the log alone, so each owner of the partition decides the same.
 */
import { limits } from '../base/limits';
import { digestOf } from '../format/digest';
import type { Envelope } from '../format/envelope-fields';

/** Entry and id of a record whose id was chosen. */
export type ChosenId = Pick<Envelope, 'entry' | 'id'>;

/** The earlier record of the same id. */
export interface Earlier {
  /** Offset of the first known record of the message. */
  readonly offset: number;
  /** True if the body is the same, so that the later record is a copy. */
  readonly same: boolean;
}
/** Part of a record that the window reads. `timeMs` is the time at which the log accepted it. */
export interface Entered {
  readonly offset: number;
  readonly timeMs: number;
  readonly value: Uint8Array | null;
}

export interface IdWindow {
  /** Notes a record that was read. Returns the earlier record of its id, if one is in the window. */
  note(record: Entered, chosen: ChosenId): Earlier | undefined;
  /** Notes a record that an earlier owner has admitted. Offsets must rise, also over both methods. */
  recall(record: Entered, chosen: ChosenId): void;
  /** Ids in memory. */
  readonly size: number;
}
export type MakeIdWindow = () => IdWindow;

export const openIdWindow: MakeIdWindow = () => new RecentIds();

/** Number of records between two removals of old ids. A removal steps over each id that it removes. */
const pruneEvery = 1_000;
/**
 * Additional time for which an id is kept. A log whose clock moved back by less then still has every id that its later
 * records can need.
 */
export const clockSlackMs = 60_000;
/** Longest name of an id in memory, so that memory is bounded in bytes. A longer one is replaced by its digest. */
const nameCharsMax = 64;

/** The last record of an id with one body. */
interface Last {
  first: number;
  offset: number;
  timeMs: number;
  readonly digest: string;
}

class RecentIds implements IdWindow {
  /** The bodies of each id, nearly always one. The id of the newest record is last. */
  readonly #ids = new Map<string, Last[]>();
  #noted = 0;

  get size(): number {
    return this.#ids.size;
  }

  recall(record: Entered, chosen: ChosenId): void {
    this.note(record, chosen);
  }

  note({ offset, timeMs, value }: Entered, chosen: ChosenId): Earlier | undefined {
    const name = idName(chosen);
    const digest = digestOf(value ?? '');
    const known = this.#ids.get(name);
    const near = known?.filter((one) => isNear(one, offset, timeMs)) ?? [];
    const same = near.find((one) => one.digest === digest);
    const earlier = same ?? near[0];
    const found = earlier && { offset: earlier.first, same: same !== undefined };
    if (same) Object.assign(same, { offset, timeMs });
    else near.push({ first: offset, offset, timeMs, digest });
    if (known) this.#ids.delete(name); // moves the id to the end, since a map iterates in insertion order
    this.#ids.set(name, near);
    if (++this.#noted % pruneEvery === 0) this.#prune(offset, timeMs);
    return found;
  }

  #prune(offset: number, timeMs: number): void {
    for (const [name, bodies] of this.#ids) {
      const isNeeded = (one: Last): boolean =>
        offset - one.offset < limits.idWindowRecords && timeMs - one.timeMs <= limits.idWindowMs + clockSlackMs;
      if (bodies.some(isNeeded)) return;
      this.#ids.delete(name);
    }
  }
}

function isNear(earlier: Last, offset: number, timeMs: number): boolean {
  const distance = offset - earlier.offset;
  return distance > 0 && distance <= limits.idWindowRecords && timeMs - earlier.timeMs <= limits.idWindowMs;
}

/** Returns a short name of an id, at most 64 characters. */
export function idName({ entry, id }: ChosenId): string {
  const name = `${entry} ${id}`;
  return name.length <= nameCharsMax ? name : digestOf(name);
}
