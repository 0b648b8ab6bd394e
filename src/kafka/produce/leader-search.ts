/** Refreshes the metadata for partition queues whose partition has no known leader. */
import { sleep } from '../../base/clock';
import type { PartitionQueue } from './partition-queue';
import type { ClusterMetadata } from '../cluster/metadata';
import { pauseMs } from '../cluster/retry';

export class LeaderSearch {
  readonly #queues: PartitionQueue[] = [];
  #running = false;

  constructor(
    private readonly metadata: ClusterMetadata,
    /** Called for each queue after a refresh, even if its leader is still unknown. */
    private readonly looked: (queue: PartitionQueue) => void,
    private readonly closing: AbortSignal,
  ) {}

  add(queue: PartitionQueue): void {
    this.#queues.push(queue);
    void this.#run();
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    await this.metadata.refresh();
    if (this.#queues.some((queue) => this.metadata.leader(queue) === undefined)) {
      await sleep(this.metadata.parts.clock, pauseMs(this.metadata.parts.random, 0), this.closing);
    }
    this.#running = false;
    // Includes queues that were added during the pause, because no other refresh was started for them.
    for (const queue of this.#queues.splice(0)) this.looked(queue);
  }
}
