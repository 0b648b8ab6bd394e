/** What one member has: partitions taken, being given up, given, and lost. */
import { sayError } from '../../base/errors';
import type { Notices } from '../../base/notices';
import type { Commit, Owner } from '../../ports/log';
import type { OwnedPartition, OwnedParts } from './owned-partition';

export interface HoldingsParts {
  readonly group: string;
  readonly owner: Owner;
  readonly notices: Notices;
  readonly open: (given: Pick<OwnedParts, 'partition' | 'epoch' | 'committed'>) => OwnedPartition;
  /** Resolves when no commit of it is on its way. */
  readonly settled: (owned: OwnedPartition) => Promise<void>;
  readonly lost: (owned: OwnedPartition, reason: string) => void;
  /** A `give` has ended: others may have the partition, or this member can take it again. */
  readonly released: (partition: number) => void;
}

export class Holdings {
  readonly #held = new Map<number, OwnedPartition>();
  /** Whose `give` runs, also of those that were lost meanwhile. */
  readonly #giving = new Map<number, Promise<void>>();
  readonly #had = new Set<number>();

  constructor(private readonly parts: HoldingsParts) {}

  /** What it has and keeps. */
  get owned(): readonly number[] {
    return [...this.#held.keys()].filter((partition) => !this.#giving.has(partition));
  }
  /** What it lost, and nobody else has got since as far as it knows. */
  get had(): readonly number[] {
    return [...this.#had].filter((partition) => !this.#giving.has(partition));
  }
  /** Another member has got them. */
  forget(partitions: Iterable<number>): void {
    for (const partition of partitions) this.#had.delete(partition);
  }
  /** What it still has. */
  get giving(): readonly number[] {
    return [...this.#giving.keys()].filter((partition) => this.#held.has(partition));
  }
  /** What it has not, and cannot take. */
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

  /** From here on there is no way back: it ends with the release. */
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
  /** Resolves when no `give` runs any more. */
  async given(): Promise<void> {
    while (this.#giving.size > 0) await Promise.all(this.#giving.values());
  }

  async #letGive(partition: number, owned: OwnedPartition): Promise<void> {
    try {
      await this.parts.owner.give(partition);
    } catch (error) {
      const fields = { group: this.parts.group, partition, reason: sayError(error) };
      this.parts.notices.tell({ type: 'log', level: 'error', message: 'giving a partition failed', fields });
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
