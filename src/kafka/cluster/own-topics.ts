/** Topics that this instance uses, as this version creates them, and the commands with which an operator can do so. */
import type { Topic } from '../../ports/log';
import { messageRecordBytesMax, recordBytesMax } from '../protocol/record-size';
import type { NewTopic } from '../protocol/types';

/** A batch is a little larger than what is in it. */
const batchMoreBytes = 1024;
/** Room comes back, and old records of a key go, a segment at a time; one has to hold the largest batch. */
const compactedSegmentBytes = 2 * 1024 * 1024;
const segmentBytes = 64 * 1024 * 1024;
/** Retention goes by whole segments too, so a topic that keeps things for a short time needs short ones. */
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
    // Retention by the senders' clocks would delete what a spool ships late.
    'message.timestamp.type': 'LogAppendTime',
    // Whatever came into a queue must fit into the topic of what is set aside, which is compacted.
    'max.message.bytes': `${(compacted ? recordBytesMax : messageRecordBytesMax) + batchMoreBytes}`,
    // Brokers unpack what others packed, in ways that not every version of Node can read.
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

/** A topic that this instance uses. */
export interface OwnTopic {
  readonly topic: Topic;
  /** How many replicas a new topic would get. */
  readonly replicas: number;
  /** As its brokers reported them last; undefined when they have not yet. */
  readonly configs: Configs | undefined;
}

/** Topics that this instance has ensured; shared by everything that uses one view of the cluster. */
export class OwnTopics {
  readonly #own = new Map<string, OwnTopic>();
  #begin: (() => void) | undefined;

  add(own: OwnTopic): void {
    this.#own.set(own.topic.name, own);
    this.#begin?.();
    this.#begin = undefined;
  }
  /** Calls `begin` once, as soon as there is a topic. */
  onFirst(begin: () => void): void {
    if (this.#own.size > 0) begin();
    else this.#begin = begin;
  }
  /** The brokers reported these settings. */
  learn(name: string, configs: Configs): void {
    const own = this.#own.get(name);
    if (own) this.#own.set(name, { ...own, configs });
  }
  all(): readonly OwnTopic[] {
    return [...this.#own.values()];
  }

  /** What is wrong when brokers do not know the topic, and what an operator can do about it. */
  sayAbsent(name: string): string {
    const own = this.#own.get(name);
    const missing = `topic ${name} does not exist`;
    if (!own) return missing;
    const { topic, replicas } = own;
    const { partitions } = topic;
    const command = createCommand({ name, partitions, replicas, configs: configsOf(topic, replicas) });
    return `${missing}. It existed before, so what it held is lost. Create it: ${command}; instances then continue`;
  }
}
