/** Tracks the topics that this instance uses, with the settings and the commands with which they are created. */
import type { Topic } from '../../ports/log';
import { messageRecordBytesMax, recordBytesMax } from '../protocol/record-size';
import type { NewTopic } from '../protocol/types';

/** Room for the fields of a batch, so that a batch with the largest record is accepted. */
const batchMoreBytes = 1024;
/**
 * Segment sizes. Kafka deletes and compacts whole segments, so compacted topics have small ones to free space early. A
 * segment must hold the largest batch.
 */
const compactedSegmentBytes = 2 * 1024 * 1024;
const segmentBytes = 64 * 1024 * 1024;
/** Bounds of a segment's age. Retention deletes whole segments, so a topic with a short retention needs short ones. */
const segmentMsMin = 60_000;
const segmentMsMax = 7 * 24 * 3_600_000;

export type Configs = Readonly<Record<string, string>>;

export function configsOf({ compacted, keepMs }: Topic, replicas: number): Configs {
  const segmentMs = Math.min(Math.max(Math.round((keepMs ?? segmentMsMax) / 4), segmentMsMin), segmentMsMax);
  const kept: Configs = compacted
    ? { 'cleanup.policy': 'compact', 'segment.bytes': `${compactedSegmentBytes}` }
    : {
        'cleanup.policy': 'delete',
        'retention.ms': `${keepMs ?? -1}`,
        'retention.bytes': '-1',
        'segment.bytes': `${segmentBytes}`,
        'segment.ms': `${segmentMs}`,
      };
  return {
    ...kept,
    // With CreateTime, retention would delete records early if the sender's clock is slow.
    'message.timestamp.type': 'LogAppendTime',
    // Each message of a queue must fit into the topic of parked messages, which is compacted.
    'max.message.bytes': `${(compacted ? recordBytesMax : messageRecordBytesMax) + batchMoreBytes}`,
    // Brokers then decompress batches of other clients. Not every version of Node.js can read all codecs.
    'compression.type': 'uncompressed',
    'min.insync.replicas': replicas >= 3 ? '2' : '1',
  };
}

export function createCommand({ name, partitions, replicas, configs }: NewTopic): string {
  const settings = Object.entries(configs).map(([config, value]) => ` --config ${config}=${value}`);
  return (
    `kafka-topics.sh --create --topic ${name} --partitions ${partitions} --replication-factor ${replicas}` +
    settings.join('')
  );
}

/** Topic that this instance uses. */
export interface OwnTopic {
  readonly topic: Topic;
  /** Replication factor of a new topic. */
  readonly replicas: number;
  /** Settings as brokers last reported them; undefined before the first report. */
  readonly configs: Configs | undefined;
}

/** Topics that this instance has ensured, shared by all parts that use one `ClusterMetadata`. */
export class OwnTopics {
  readonly #own = new Map<string, OwnTopic>();
  #begin: (() => void) | undefined;

  add(own: OwnTopic): void {
    this.#own.set(own.topic.name, own);
    this.#begin?.();
    this.#begin = undefined;
  }
  /** Calls `begin` once, when the first topic is added, or now if one has been. */
  onFirst(begin: () => void): void {
    if (this.#own.size > 0) begin();
    else this.#begin = begin;
  }
  /** Stores settings that brokers reported. */
  learn(name: string, configs: Configs): void {
    const own = this.#own.get(name);
    if (own) this.#own.set(name, { ...own, configs });
  }
  all(): readonly OwnTopic[] {
    return [...this.#own.values()];
  }

  /** Returns a text about a topic that brokers do not know, with the command that creates it. */
  describeAbsent(name: string): string {
    const own = this.#own.get(name);
    const missing = `topic ${name} does not exist`;
    if (!own) return missing;
    const { topic, replicas } = own;
    const { partitions } = topic;
    const command = createCommand({ name, partitions, replicas, configs: configsOf(topic, replicas) });
    return `${missing}. It existed before, so its records are lost. Create it: ${command}; instances then continue`;
  }
}
