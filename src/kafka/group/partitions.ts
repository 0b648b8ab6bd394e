/** Tracks the partitions of one member: owned, being released, released, and lost. */
import { sayError } from '../../base/errors';
import type { Notices } from '../../base/notices';
import type { Commit, Owner } from '../../ports/log';
import type { OwnedPartition, OwnedParts } from './owned-partition';

export interface HoldingsParts {
  readonly group: string;
  readonly owner: Owner;
  readonly notices: Notices;
  readonly open: (given: Pick<OwnedParts, 'partition' | 'epoch' | 'committed'>) => OwnedPartition;
  /** Resolves when no commit of the partition waits or is in flight. */
  readonly settled: (owned: OwnedPartition) => Promise<void>;
  readonly lost: (owned: OwnedPartition, reason: string) => void;
  /** Called when a `give` has ended: another member can own the partition, or this member can own it again. */
  readonly released: (partition: number) => void;
}

export class Holdings {
  readonly #held = new Map<number, OwnedPartition>();
  /** Running `give` calls by partition, including those of partitions that were lost meanwhile. */
  readonly #giving = new Map<number, Promise<void>>();
  readonly #had = new Set<number>();

  constructor(private readonly parts: HoldingsParts) {}

  /** Partitions that the member owns and keeps. */
  get owned(): readonly number[] {
    return [...this.#held.keys()].filter((partition) => !this.#giving.has(partition));
  }
  /** Partitions that it lost, and that no other member is known to own since. */
  get had(): readonly number[] {
    return [...this.#had].filter((partition) => !this.#giving.has(partition));
  }
  /** Removes partitions that another member owns from those that were lost. */
  forget(partitions: Iterable<number>): void {
    for (const partition of partitions) this.#had.delete(partition);
  }
  /** Partitions that it still owns but is releasing. */
  get giving(): readonly number[] {
    return [...this.#giving.keys()].filter((partition) => this.#held.has(partition));
  }
  /** Partitions that it lost while releasing them. It cannot own them again until their `give` has ended. */
  get busy(): readonly number[] {
    return [...this.#giving.keys()].filter((partition) => !this.#held.has(partition));
  }
  get empty(): boolean {
    return this.#held.size === 0 && this.#giving.size === 0;
  }
  can(partition: number): boolean {
    return !this.#held.has(partition) && !this.#giving.has(partition);
  }

  take(partition: number, epoch: number, committed: Commit | null): void {
    const owned = this.parts.open({ partition, epoch, committed });
    this.#held.set(partition, owned);
    this.#had.delete(partition);
    this.parts.owner.take(owned);
  }

  /** Starts to release a partition. This cannot be undone. */
  give(partition: number): void {
    const owned = this.#held.get(partition);
    if (owned === undefined || this.#giving.has(partition)) return;
    const given = this.#letGive(partition, owned).finally(() => {
      this.#giving.delete(partition);
      this.parts.released(partition);
    });
    this.#giving.set(partition, given);
  }
  giveAll(): void {
    for (const partition of this.#held.keys()) this.give(partition);
  }
  /** Resolves when no `give` is running. */
  async given(): Promise<void> {
    while (this.#giving.size > 0) await Promise.all(this.#giving.values());
  }

  async #letGive(partition: number, owned: OwnedPartition): Promise<void> {
    try {
      await this.parts.owner.give(partition);
    } catch (error) {
      const fields = { group: this.parts.group, partition, reason: sayError(error) };
      this.parts.notices.tell({ type: 'log', level: 'error', message: 'revoking a partition failed', fields });
    }
    await this.parts.settled(owned);
    if (this.#held.get(partition) !== owned) return; // lost meanwhile
    owned.end();
    this.#held.delete(partition);
  }

  loseAll(reason: string): void {
    for (const [partition, owned] of Array.from(this.#held)) {
      this.#held.delete(partition);
      this.#had.add(partition);
      owned.lose(reason);
      this.parts.lost(owned, reason);
    }
  }
}
