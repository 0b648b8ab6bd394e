/** Topics that this instance uses, as this version creates them, and the commands with which an operator can do so. */
import type { Topic } from '../ports/log';
import { messageRecordBytesMax, recordBytesMax } from './sendable';
import type { NewTopic } from './wire';

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

/** Differences in these change what is promised; in the others they are somebody's decision. */
export const watched = [
  'cleanup.policy',
  'retention.ms',
  'retention.bytes',
  'message.timestamp.type',
  'max.message.bytes',
  'compression.type',
  'min.insync.replicas',
];

export function createCommand({ name, partitions, replicas, configs }: NewTopic): string {
  const settings = Object.entries(configs).map(([config, value]) => ` --config ${config}=${value}`);
  return (
    `kafka-topics.sh --create --topic ${name} --partitions ${partitions} --replication-factor ${replicas}` +
    settings.join('')
  );
}

interface Own {
  readonly topic: Topic;
  readonly replicas: number;
}

/** Topics that this instance has ensured; shared by everything that uses one view of the cluster. */
export class OwnTopics {
  readonly #own = new Map<string, Own>();

  /** `replicas` is what a new topic would get. */
  add(topic: Topic, replicas: number): void {
    this.#own.set(topic.name, { topic, replicas });
  }
  all(): readonly Own[] {
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
