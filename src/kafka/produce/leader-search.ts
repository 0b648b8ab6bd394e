/** Lanes whose partition has no known leader: the metadata is refreshed until each has one. */
import { sleep } from '../../base/clock';
import type { Lane } from './partition-queue';
import { pauseMs, type View } from '../cluster/metadata';

export class LeaderSearch {
  readonly #lanes: Lane[] = [];
  #running = false;

  constructor(
    private readonly view: View,
    /** Called for each lane after a look, whether the look found its leader or not. */
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
    // Includes lanes that were added during the pause, for which no other look was started.
    for (const lane of this.#lanes.splice(0)) this.looked(lane);
  }
}
