/** Caches the coordinators of groups. One lookup serves all callers that wait for the same group. */
import type { BrokerClient } from '../client/broker-client';

export class Coordinators {
  readonly #lookups = new Map<string, Promise<number>>();
  readonly #nodes = new Map<string, number>();

  constructor(
    private readonly client: Pick<BrokerClient, 'findCoordinator'>,
    /** Called when the coordinator of a group was found. */
    private readonly found: () => void,
  ) {}

  /** Returns the node that coordinates the group. Rejects with a KafkaError; the next call then looks it up again. */
  find(group: string): Promise<number> {
    const running = this.#lookups.get(group);
    if (running) return running;
    const lookup = this.client.findCoordinator(group);
    this.#lookups.set(group, lookup);
    lookup.then(
      (node) => {
        if (this.#lookups.get(group) !== lookup) return;
        this.#nodes.set(group, node);
        this.found();
      },
      () => {
        if (this.#lookups.get(group) === lookup) this.#lookups.delete(group);
      },
    );
    return lookup;
  }
  /** Returns the node if it was found; undefined while it is unknown or in doubt. */
  known(group: string): number | undefined {
    return this.#nodes.get(group);
  }
  /** Discards the node. The result of a running lookup is not stored either. */
  forget(group: string): void {
    this.#lookups.delete(group);
    this.#nodes.delete(group);
  }
}
