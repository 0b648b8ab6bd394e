/** Reports once per topic that partitions cannot be read for longer than a leader change takes, and their recovery. */
import type { Spot } from '../protocol/types';
import type { View } from '../cluster/metadata';

/** Time after which an unreadable partition is reported. A new leader is usually found in less. */
const patienceMs = 2_000;

interface Topic {
  /** Time of the first failure, by reader. */
  readonly bad: Map<Spot, number>;
  told: boolean;
}

export class Troubles {
  readonly #topics = new Map<string, Topic>();

  constructor(private readonly view: View) {}

  /** Records that a position cannot be read, now or since `beganMs`. */
  bad(position: Spot, reason: string, beganMs = this.view.parts.clock.mono()): void {
    const { clock, notices } = this.view.parts;
    const nowMs = clock.mono();
    let topic = this.#topics.get(position.topic);
    if (!topic) this.#topics.set(position.topic, (topic = { bad: new Map(), told: false }));
    const sinceMs = topic.bad.get(position) ?? beganMs;
    topic.bad.set(position, sinceMs);
    // The view reports that no broker responds. The cluster watch reports a topic that does not exist.
    if (topic.told || nowMs - sinceMs < patienceMs || this.view.failing) return;
    if (this.view.absentMs(position.topic) > 0) return;
    topic.told = true;
    const partitions = [...new Set([...topic.bad.keys()].map(({ partition }) => partition))].toSorted((a, b) => a - b);
    const part = `${position.topic}/${partitions.join()}`;
    const said = `${part} could not be read for ${Math.round(nowMs - sinceMs)} ms: ${reason}`;
    notices.tell({ type: 'state', part: `reading ${position.topic}`, ok: false, reason: said });
  }

  /** Records that a position was read, or was closed. */
  over(position: Spot): void {
    if (this.#topics.size === 0) return; // called for each response
    const topic = this.#topics.get(position.topic);
    if (!topic?.bad.delete(position) || topic.bad.size > 0) return;
    this.#topics.delete(position.topic);
    if (!topic.told) return;
    const reason = 'its partitions can be read again';
    this.view.parts.notices.tell({ type: 'state', part: `reading ${position.topic}`, ok: true, reason });
  }
}
