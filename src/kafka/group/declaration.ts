/** Builds the subscription that a member declares in each JoinGroup, and reports later changes that need a new one. */
import type { Clock } from '../../base/clock';
import type { AssignedPartitions } from './partitions';
import { entryHash, type Subscription } from './subscription';

export interface DeclarationParts {
  readonly clock: Clock;
  /** This instance's name. */
  readonly instance: string;
  /** Entries whose messages the member handles. Undefined if it does not declare them. */
  readonly serves: readonly string[] | undefined;
  /** Called when the last declaration is outdated, so that the member must join again. */
  readonly changed: (reason: string) => void;
}
/** Partitions of a member at the time of its declaration. */
export type DeclaredPartitions = Pick<AssignedPartitions, 'owned' | 'revoking' | 'busy' | 'had'>;

/** Delay before a rejoin, so that partitions that are released at the same time are handed over together. */
const releaseMs = 20;

export class Declaration {
  readonly #serves: readonly string[] | undefined;
  /** Entries that this member does not serve, but whose messages waited there, by partition. */
  readonly #misses = new Map<number, readonly string[]>();
  #had: readonly number[] = [];
  /** True if a partition was released after the last declaration. */
  #released = false;

  constructor(private readonly parts: DeclarationParts) {
    this.#serves = parts.serves?.map(entryHash);
  }

  /** Lost partitions in the last declaration. */
  get had(): readonly number[] {
    return this.#had;
  }

  /** Returns the subscription of a round. Any later change of it is reported. */
  next(round: number, leaving: boolean, { owned, revoking, busy, had }: DeclaredPartitions): Subscription {
    this.#released = false;
    this.#had = had;
    return {
      instance: this.parts.instance,
      round,
      owned,
      giving: revoking,
      busy,
      leaving,
      had,
      serves: this.#serves,
      misses: this.#misses,
    };
  }

  /** Declares that messages of entries that the member does not serve wait in its partition. */
  miss(partition: number, entries: readonly string[]): void {
    this.#misses.set(partition, entries.map(entryHash));
    this.#reportLater(() => this.#misses.has(partition), 'messages of a partition wait that it does not serve');
  }
  /** Forgets the misses of a partition that the member owns again. Entries that still wait there are reported again. */
  assigned(partition: number): void {
    this.#misses.delete(partition);
  }
  /** Declares a released partition with the next round. */
  released(): void {
    this.#released = true;
    this.#reportLater(() => this.#released, 'it has released a partition');
  }

  #reportLater(isDue: () => boolean, reason: string): void {
    this.parts.clock.after(releaseMs, () => {
      if (isDue()) this.parts.changed(reason);
    });
  }
}
