/** Reports once per topic that partitions cannot be read for longer than a leader change takes, and their recovery. */
import type { TopicPartition } from '../protocol/types';
import type { ClusterMetadata } from '../cluster/metadata';

/** Time after which an unreadable partition is reported. A new leader is usually found in less. */
const reportAfterMs = 2_000;

interface Topic {
  /** Time of the first failure, by reader. */
  readonly bad: Map<TopicPartition, number>;
  reported: boolean;
}

export class ReadHealth {
  readonly #topics = new Map<string, Topic>();

  constructor(private readonly metadata: ClusterMetadata) {}

  /** Records that a position cannot be read, now or since `beganMs`. */
  fails(position: TopicPartition, reason: string, beganMs = this.metadata.parts.clock.mono()): void {
    const { clock, notices } = this.metadata.parts;
    const nowMs = clock.mono();
    let topic = this.#topics.get(position.topic);
    if (!topic) this.#topics.set(position.topic, (topic = { bad: new Map(), reported: false }));
    const sinceMs = topic.bad.get(position) ?? beganMs;
    topic.bad.set(position, sinceMs);
    // The cluster metadata reports that no broker responds. The cluster watch reports a topic that does not exist.
    if (topic.reported || nowMs - sinceMs < reportAfterMs || this.metadata.failing) return;
    if (this.metadata.absentMs(position.topic) > 0) return;
    topic.reported = true;
    const partitions = [...new Set([...topic.bad.keys()].map(({ partition }) => partition))].toSorted((a, b) => a - b);
    const part = `${position.topic}/${partitions.join()}`;
    const message = `${part} could not be read for ${Math.round(nowMs - sinceMs)} ms: ${reason}`;
    notices.emit({ type: 'state', part: `reading ${position.topic}`, ok: false, reason: message });
  }

  /** Records that a position was read, or was closed. */
  works(position: TopicPartition): void {
    if (this.#topics.size === 0) return; // called for each response
    const topic = this.#topics.get(position.topic);
    if (!topic?.bad.delete(position) || topic.bad.size > 0) return;
    this.#topics.delete(position.topic);
    if (!topic.reported) return;
    const reason = 'its partitions can be read again';
    this.metadata.parts.notices.emit({ type: 'state', part: `reading ${position.topic}`, ok: true, reason });
  }
}
