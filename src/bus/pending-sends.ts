/** Tracks the calls that store messages and have not ended, so that `flush` can wait for those before it. */
import { deferred, type Deferred } from '../base/lifecycle';

/** Calls that began between two calls of {@link PendingSends.ended}. */
class Round {
  #open = 0;
  /** Set when the round is awaited. It then gets no further call, so it ends once. */
  #ended: Deferred<void> | undefined;

  get open(): number {
    return this.#open;
  }
  /** Resolves when the last open call has ended. Only a round that gets no further call can be awaited. */
  get ended(): Promise<void> {
    return (this.#ended ??= deferred()).promise;
  }
  begin(): void {
    this.#open++;
  }
  end(): void {
    this.#open--;
    if (this.#open === 0) this.#ended?.resolve();
  }
}

export class PendingSends {
  #current = new Round();
  /** Rounds with open calls. Each has at least one, so their number is bounded by that of the calls. */
  readonly #earlier = new Set<Round>();

  /** Counts a call, until `end` of the result is called. */
  begin(): Pick<Round, 'end'> {
    const round = this.#current;
    round.begin();
    return round;
  }
  /** Resolves when every call that began before has ended. Calls that begin later do not delay it. */
  async ended(): Promise<void> {
    const round = this.#current;
    if (round.open > 0) {
      this.#current = new Round();
      this.#earlier.add(round);
      void round.ended.then(() => this.#earlier.delete(round));
    }
    await Promise.all(Array.from(this.#earlier, ({ ended }) => ended));
  }
}
