/** Caches what brokers reported about topics: leaders and epochs of partitions, absences and errors. Sends nothing. */
import type { Clock } from '../../base/clock';
import type { KafkaError } from '../protocol/errors';
import type { PartitionMetadata, TopicMetadata } from '../protocol/types';

/** State of one topic. */
export interface KnownTopic {
  /** Leaders by partition; null if the partition has none, or if its known leader is in doubt. */
  readonly leaders: (number | null)[];
  /** Leader epochs by partition. */
  readonly epochs: number[];
  /** Monotonic time at which brokers first reported that the topic does not exist. */
  absentSinceMs: number | undefined;
  /** Partitions as last reported. */
  partitions: readonly PartitionMetadata[];
  /** Number of times that the topic became absent. */
  absences: number;
  /** Error that brokers last returned for the topic, other than its absence. */
  fault: KafkaError | undefined;
}

export class KnownTopics {
  readonly #topics = new Map<string, KnownTopic>();

  constructor(private readonly clock: Clock) {}

  /** Names of the topics that were added. */
  get names(): readonly string[] {
    return [...this.#topics.keys()];
  }
  get(topic: string): Readonly<KnownTopic> | undefined {
    return this.#topics.get(topic);
  }
  /** Adds a topic that no broker has reported on yet. Only reports on added topics are stored. */
  add(topic: string): void {
    const unreported = { absentSinceMs: undefined, partitions: [], absences: 0, fault: undefined };
    this.#topics.set(topic, { ...unreported, leaders: [], epochs: [] });
  }
  remove(topic: string): void {
    this.#topics.delete(topic);
  }

  /** Returns the known leader of a partition; undefined if it has none, or if it is in doubt. */
  leader(topic: string, partition: number): number | undefined {
    return this.#topics.get(topic)?.leaders[partition] ?? undefined;
  }
  /** Discards the leader `node`. Returns false if it is not the known leader of the partition. */
  invalidateLeader(topic: string, partition: number, node: number): boolean {
    const leaders = this.#topics.get(topic)?.leaders;
    if (leaders?.[partition] !== node) return false;
    leaders[partition] = null;
    return true;
  }
  /** Returns for how long brokers have reported that the topic does not exist; 0 if they have not. */
  absentMs(topic: string): number {
    const sinceMs = this.#topics.get(topic)?.absentSinceMs;
    return sinceMs === undefined ? 0 : this.clock.mono() - sinceMs;
  }

  /** Stores the topics of a metadata response. Returns whether a leader changed. */
  learn(topics: readonly TopicMetadata[]): boolean {
    let changed = false;
    for (const { name, error, partitions } of topics) {
      const known = this.#topics.get(name);
      if (!known) continue;
      const absent = error?.code === 'UNKNOWN_TOPIC_OR_PARTITION' || error?.code === 'INVALID_TOPIC_EXCEPTION';
      if (absent && known.absentSinceMs === undefined) {
        known.absentSinceMs = this.clock.mono();
        known.absences++;
      }
      if (error === null) {
        known.absentSinceMs = undefined;
        known.partitions = partitions;
      }
      known.fault = error === null || absent ? undefined : error;
      if (error === null && learnLeaders(known, partitions)) changed = true;
      if (absent && known.leaders.some((leader) => leader !== null)) known.leaders.fill(null);
    }
    return changed;
  }
}

/**
 * Stores reported leaders. Returns whether any changed; a new partition is a change. A broker that is cut off or has
 * just started can report outdated leaders. They must not replace a leader with a higher epoch, unless that one is in
 * doubt.
 */
function learnLeaders({ leaders, epochs }: KnownTopic, partitions: readonly PartitionMetadata[]): boolean {
  let changed = false;
  for (const { partition, leader, epoch } of partitions) {
    const isOld = epoch >= 0 && epoch < (epochs[partition] ?? -1);
    if (isOld && leaders[partition] != null) continue;
    if (leaders[partition] !== leader) changed = true;
    leaders[partition] = leader;
    epochs[partition] = epoch;
  }
  for (let i = 0; i < leaders.length; i++) leaders[i] ??= null; // partitions that the response lacks
  return changed;
}
