/** Chosen ids of the messages of one call: given by the caller, or derived from the message that is being handled. */
import type { MakesIds } from '../../delivery/context';
import type { Envelope } from '../../format/envelope-fields';

/** Returns the id that the caller gives to a message. The index is the one in the list of its call. */
export type GivenIds = (input: unknown, index: number) => string;

export interface CallIds {
  /** Ids that the caller gives. Undefined if they are derived. */
  readonly idOf?: GivenIds;
  /**
   * Returns the id of a message, and its mark. `id` is the id that it has without a choice. Returns undefined when it
   * keeps that one. Throws Conflict when the id was given to another body.
   */
  choose(
    entry: string,
    id: string,
    key: Uint8Array | null,
    body: Uint8Array,
  ): Pick<Envelope, 'id' | 'once'> | undefined;
  /** Called when the call has failed. */
  failed(error: unknown): void;
}

/** Begins a call with derived ids. If it fails, its ids are for the same messages when the handler sends them again. */
export function derivedCall(ids: MakesIds): CallIds {
  const used: string[] = [];
  return {
    choose(entry, _id, key, body) {
      const id = ids.next(entry, key, body);
      if (id === undefined) return undefined;
      used.push(id);
      return { id, once: 'derived' };
    },
    failed() {
      for (const id of used.toReversed()) ids.release(id);
    },
  };
}
