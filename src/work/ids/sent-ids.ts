/** Remembers which body each id was given to, so that another body under the same id is rejected by its sender. */
import type { Clock } from '../../base/clock';
import { BusError, isBusError } from '../../base/errors';
import { limits } from '../../base/limits';
import { idName } from '../../delivery/id-window';
import { spanText } from '../../format/amounts';
import { digestOf } from '../../format/digest';
import type { CallIds, GivenIds } from './call-ids';

interface Claim {
  readonly digest: string;
  /** Monotonic time of the last message with this id. */
  atMs: number;
}

const idsMax = limits.idWindowRecords;
/** Ids removed together, since a map steps over removed entries. */
const removedTogether = idsMax / 10;
const remedy = 'Give the message an id of its own, or send the body to which the id belongs.';

/** The ids that one sender has given in the last 10 minutes: at most 11,000, in about 3 MB. The oldest are first. */
export class SentIds {
  readonly #claims = new Map<string, Claim>();

  constructor(private readonly clock: Pick<Clock, 'mono'>) {}

  get size(): number {
    return this.#claims.size;
  }

  /** Begins a call. Its ids are released if it fails and none of its messages can have been sent. */
  call(idOf: GivenIds): CallIds {
    const added: [string, Claim][] = [];
    return {
      idOf,
      choose: (entry, id, _key, body) => {
        const name = idName({ entry, id });
        const claim = this.#claim(name, digestOf(body), (ageMs) => conflict(entry, id, ageMs));
        if (claim) added.push([name, claim]);
        return { id, once: 'given' };
      },
      failed: (error) => {
        if (isBusError(error) && 'outcome' in error.details && error.details.outcome === 'unknown') return;
        for (const [name, claim] of added) if (this.#claims.get(name) === claim) this.#claims.delete(name);
      },
    };
  }

  /** Returns the claim if it is new. */
  #claim(name: string, digest: string, conflictOf: (ageMs: number) => BusError): Claim | undefined {
    const nowMs = this.clock.mono();
    const known = this.#claims.get(name);
    const isKnown = known && nowMs - known.atMs <= limits.idWindowMs;
    if (isKnown && known.digest !== digest) throw conflictOf(nowMs - known.atMs);
    const claim = isKnown ? known : { digest, atMs: nowMs };
    claim.atMs = nowMs;
    if (known) this.#claims.delete(name); // moves the id to the end, since a map iterates in insertion order
    this.#claims.set(name, claim);
    if (this.#claims.size >= idsMax + removedTogether) this.#removeOldest();
    return isKnown ? undefined : claim;
  }

  #removeOldest(): void {
    let left = removedTogether;
    for (const name of this.#claims.keys()) {
      if (left-- === 0) return;
      this.#claims.delete(name);
    }
  }
}

function conflict(entry: string, id: string, ageMs: number): BusError<'Conflict'> {
  const message = `the id '${id}' for ${entry} was given to another body ${spanText(ageMs)} ago`;
  return new BusError('Conflict', message, { key: id }, undefined, remedy);
}
