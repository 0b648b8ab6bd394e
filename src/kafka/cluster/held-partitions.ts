/** Tracks partitions in which an open transaction of another producer blocks the readers of this process. */
import type { Clock } from '../../base/clock';
import type { Fetched, TopicPartition } from '../protocol/types';

interface Hold {
  readonly sinceMs: number;
  /** First offset that cannot be read. */
  readonly from: number;
  /** Number of offsets that cannot be read. */
  readonly count: number;
}
export interface HeldPartition extends Hold {
  readonly partition: number;
}

/** Blocked partitions, as readers of this process found them in fetch responses; this needs no request of its own. */
export class HeldPartitions {
  readonly #holds = new Map<TopicPartition, Hold>();

  constructor(private readonly clock: Clock) {}

  /** Records a fetch response of `reader`, which has read up to `next`. */
  see(reader: TopicPartition & { readonly next: number }, { end, high }: Pick<Fetched, 'end' | 'high'>): void {
    if (high <= end || reader.next < end) return this.over(reader);
    const before = this.#holds.get(reader);
    const sinceMs = before?.from === end ? before.sinceMs : this.clock.mono();
    this.#holds.set(reader, { sinceMs, from: end, count: high - end });
  }
  /** Removes the hold of `reader`, which has stopped or is no longer blocked. */
  over(reader: TopicPartition): void {
    if (this.#holds.size > 0) this.#holds.delete(reader);
  }

  /** Returns the partitions that have been held at the same offset for `ms`, by topic. */
  heldFor(ms: number): ReadonlyMap<string, readonly HeldPartition[]> {
    const nowMs = this.clock.mono();
    const byTopic = new Map<string, Map<number, HeldPartition>>();
    for (const [{ topic, partition }, hold] of this.#holds) {
      if (nowMs - hold.sinceMs < ms) continue;
      const held = byTopic.get(topic) ?? new Map<number, HeldPartition>();
      byTopic.set(topic, held.set(partition, { partition, ...hold }));
    }
    return new Map([...byTopic].map(([topic, held]) => [topic, [...held.values()]]));
  }
}
