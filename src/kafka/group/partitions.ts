/** Tracks the partitions of one member: owned, being released, released, and lost. */
import { errorMessage } from '../../base/errors';
import type { Notices } from '../../base/notices';
import type { Commit, Owner } from '../../ports/log';
import type { KafkaOwnedPartition, OwnedParts } from './owned-partition';

export interface AssignedPartitionsParts {
  readonly group: string;
  readonly owner: Owner;
  readonly notices: Notices;
  readonly open: (revocation: Pick<OwnedParts, 'partition' | 'epoch' | 'committed'>) => KafkaOwnedPartition;
  /** Resolves when no commit of the partition waits or is in flight. */
  readonly settled: (owned: KafkaOwnedPartition) => Promise<void>;
  readonly lost: (owned: KafkaOwnedPartition, reason: string) => void;
  /** Called when a revocation has ended: another member can own the partition, or this member can own it again. */
  readonly released: (partition: number) => void;
}

export class AssignedPartitions {
  readonly #held = new Map<number, KafkaOwnedPartition>();
  /** Running revocations by partition, including those of partitions that were lost meanwhile. */
  readonly #revocations = new Map<number, Promise<void>>();
  readonly #had = new Set<number>();

  constructor(private readonly parts: AssignedPartitionsParts) {}

  /** Partitions that the member owns and keeps. */
  get owned(): readonly number[] {
    return [...this.#held.keys()].filter((partition) => !this.#revocations.has(partition));
  }
  /** Partitions that it lost, and that no other member is known to own since. */
  get had(): readonly number[] {
    return [...this.#had].filter((partition) => !this.#revocations.has(partition));
  }
  /** Removes partitions that another member owns from those that were lost. */
  forget(partitions: Iterable<number>): void {
    for (const partition of partitions) this.#had.delete(partition);
  }
  /** Partitions that it still owns but is releasing. */
  get revoking(): readonly number[] {
    return [...this.#revocations.keys()].filter((partition) => this.#held.has(partition));
  }
  /** Partitions that it lost while releasing them. It cannot own them again until their revocation has ended. */
  get busy(): readonly number[] {
    return [...this.#revocations.keys()].filter((partition) => !this.#held.has(partition));
  }
  get empty(): boolean {
    return this.#held.size === 0 && this.#revocations.size === 0;
  }
  can(partition: number): boolean {
    return !this.#held.has(partition) && !this.#revocations.has(partition);
  }

  assign(partition: number, epoch: number, committed: Commit | null): void {
    const owned = this.parts.open({ partition, epoch, committed });
    this.#held.set(partition, owned);
    this.#had.delete(partition);
    this.parts.owner.onAssigned(owned);
  }

  /** Starts to release a partition. This cannot be undone. */
  revoke(partition: number): void {
    const owned = this.#held.get(partition);
    if (owned === undefined || this.#revocations.has(partition)) return;
    const revocation = this.#runRevocation(partition, owned).finally(() => {
      this.#revocations.delete(partition);
      this.parts.released(partition);
    });
    this.#revocations.set(partition, revocation);
  }
  revokeAll(): void {
    for (const partition of this.#held.keys()) this.revoke(partition);
  }
  /** Resolves when no revocation is running. */
  async revoked(): Promise<void> {
    while (this.#revocations.size > 0) await Promise.all(this.#revocations.values());
  }

  async #runRevocation(partition: number, owned: KafkaOwnedPartition): Promise<void> {
    try {
      await this.parts.owner.onRevoked(partition);
    } catch (error) {
      const fields = { group: this.parts.group, partition, reason: errorMessage(error) };
      this.parts.notices.emit({ type: 'log', level: 'error', message: 'revoking a partition failed', fields });
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
