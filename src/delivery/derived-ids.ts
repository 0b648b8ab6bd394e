/**
 * Derives ids for the messages that a handler sends. A repeated call of the handler derives the same ids, so receivers
 * recognize the messages that an earlier call has sent.
 *
 * The id depends on the body. With the place in the order of the calls alone, a handler that sends in another order at
 * its next attempt would lose messages.
 */
import { sha256OfAll } from '../format/digest';
import type { Facts, MakesIds } from './context';

/** Length of an id without its count: 128 bits in hex. */
const idChars = 32;
/** Different messages of one call that are counted, in about 13 MB. Later ones get no derived id. */
const countedMax = 100_000;

export class DerivedIds implements MakesIds {
  /** Numbers of equal messages, by their id. */
  readonly #counts = new Map<string, number>();
  /** Ids to use again, by their id without a count. */
  readonly #released = new Map<string, string[]>();
  readonly #source: string;

  constructor({ source, place, id }: Pick<Facts, 'source' | 'place' | 'id'>) {
    // The place, since producers of other programs can send several messages with one id.
    this.#source = `${source} ${place?.partition}/${place?.offset} ${id}`;
  }

  next(entry: string, key: Uint8Array | null, body: Uint8Array): string | undefined {
    const head = `${this.#source}\n${entry}\n${key?.length}\n`;
    const id = sha256OfAll(key ? [head, key, body] : [head, body]).slice(0, idChars);
    const released = this.#released.get(id)?.pop();
    if (released !== undefined) return released;
    const count = this.#counts.get(id) ?? 0;
    if (count === 0 && this.#counts.size >= countedMax) return undefined;
    this.#counts.set(id, count + 1);
    return count === 0 ? id : `${id}-${count}`;
  }

  release(id: string): void {
    const equal = id.slice(0, idChars);
    const released = this.#released.get(equal) ?? [];
    released.push(id);
    this.#released.set(equal, released);
  }
}
