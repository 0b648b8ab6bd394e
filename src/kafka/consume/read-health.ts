/** Tells when partitions cannot be read for more than a moment: once for each topic, and when they can be again. */
import type { Spot } from '../protocol/types';
import type { View } from '../cluster/metadata';

/** A leader that moves is found in less. */
const patienceMs = 2_000;

interface Topic {
  /** Since when, by what wants to read. */
  readonly bad: Map<Spot, number>;
  told: boolean;
}

export class Troubles {
  readonly #topics = new Map<string, Topic>();

  constructor(private readonly view: View) {}

  /** It could not be read just now, or has not been since `beganMs`. */
  bad(position: Spot, reason: string, beganMs = this.view.parts.clock.mono()): void {
    const { clock, notices } = this.view.parts;
    const nowMs = clock.mono();
    let topic = this.#topics.get(position.topic);
    if (!topic) this.#topics.set(position.topic, (topic = { bad: new Map(), told: false }));
    const sinceMs = topic.bad.get(position) ?? beganMs;
    topic.bad.set(position, sinceMs);
    // While no broker says where anything is, the view tells; of a topic that does not exist, the watch does.
    if (topic.told || nowMs - sinceMs < patienceMs || this.view.failing) return;
    if (this.view.absentMs(position.topic) > 0) return;
    topic.told = true;
    const partitions = [...new Set([...topic.bad.keys()].map(({ partition }) => partition))].toSorted((a, b) => a - b);
    const part = `${position.topic}/${partitions.join()}`;
    const said = `${part} cannot be read for ${Math.round(nowMs - sinceMs)} ms: ${reason}`;
    notices.tell({ type: 'state', part: `reading ${position.topic}`, ok: false, reason: said });
  }

  /** It was read, or nobody wants to any more. */
  over(position: Spot): void {
    if (this.#topics.size === 0) return; // asked with each answer
    const topic = this.#topics.get(position.topic);
    if (!topic?.bad.delete(position) || topic.bad.size > 0) return;
    this.#topics.delete(position.topic);
    if (!topic.told) return;
    const reason = 'nothing that is read of it is in trouble any more';
    this.view.parts.notices.tell({ type: 'state', part: `reading ${position.topic}`, ok: true, reason });
  }
}
