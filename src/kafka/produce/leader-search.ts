/** Refreshes the metadata for partition queues whose partition has no known leader. */
import { sleep } from '../../base/clock';
import type { Lane } from './partition-queue';
import { pauseMs, type View } from '../cluster/metadata';

export class LeaderSearch {
  readonly #lanes: Lane[] = [];
  #running = false;

  constructor(
    private readonly view: View,
    /** Called for each queue after a refresh, even if its leader is still unknown. */
    private readonly looked: (lane: Lane) => void,
    private readonly closing: AbortSignal,
  ) {}

  add(lane: Lane): void {
    this.#lanes.push(lane);
    void this.#run();
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    await this.view.refresh();
    if (this.#lanes.some((lane) => this.view.leader(lane) === undefined)) {
      await sleep(this.view.parts.clock, pauseMs(this.view.parts.random, 0), this.closing);
    }
    this.#running = false;
    // Includes queues that were added during the pause, because no other refresh was started for them.
    for (const lane of this.#lanes.splice(0)) this.looked(lane);
  }
}
