/** A member of a group of a memory world: its callbacks, in turn for each partition. */
import type { OwnedPartition, Owner } from '../ports/log';
import type { Sharer } from '../ports/share';
import { DeliveryOrder, type Life } from './life';

/** A member, and the process that it runs in. */
export class Seat implements Sharer {
  readonly id: string;
  readonly serves: ReadonlySet<string> | undefined;
  readonly misses = new Map<number, readonly string[]>();
  leaving = false;
  session: { end(): void } | undefined;
  /** Callbacks to run when the member has left. */
  readonly left: (() => void)[] = [];
  readonly order = new DeliveryOrder();
  readonly take: Owner['onAssigned'];
  readonly give: Owner['onRevoked'];
  readonly #turns = new Map<number, Promise<void>>();

  constructor(
    readonly life: Life,
    owner: Owner,
    readonly sessionMs: number,
    serves?: readonly string[],
  ) {
    this.serves = serves && new Set(serves);
    this.id = `${life.name}/${life.nextNumber()}`;
    this.take = life.bind((owned: OwnedPartition) => owner.onAssigned(owned));
    this.give = life.bind((partition: number) => owner.onRevoked(partition));
  }

  /**
   * Runs `step` once no other step of the partition is running here. A `revoke` can outlast an expiry, so no `assign`
   * overlaps it.
   */
  inTurn(partition: number, step: () => Promise<void> | void): void {
    const before = this.#turns.get(partition);
    const mine = before ? before.then(step) : step();
    if (!mine) return;
    const done: Promise<void> = mine.finally(() => {
      if (this.#turns.get(partition) === done) this.#turns.delete(partition);
    });
    this.#turns.set(partition, done);
  }
}
