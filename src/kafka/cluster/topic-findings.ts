/** Finds faults of the topics that this instance uses, and describes their effects and their repair by an operator. */
import { configsOf, type Configs, type OwnTopic } from './own-topics';
import type { PartitionMetadata } from '../protocol/types';

export interface Finding {
  readonly kind: 'absent' | 'leaderless' | 'in-sync' | 'partitions' | 'replicas' | 'settings';
  /** Time for which the finding must persist before it is reported. */
  readonly afterMs: number;
  /** True if the instance can still do its work. */
  readonly ready: boolean;
  readonly text: string;
}

/** State of a topic as brokers last reported it. */
export interface TopicSeen {
  readonly partitions: readonly PartitionMetadata[];
  /** Ids of the brokers that are in the cluster. */
  readonly nodes: readonly number[];
}

/** Returns the findings about a topic. Missing leaders and replicas are reported after `replicasMs`. */
export function findingsOf(own: OwnTopic, seen: TopicSeen, replicasMs: number): readonly Finding[] {
  const { configs } = own;
  return [
    ...leaderless(own, seen).map((one) => ({ ...one, afterMs: replicasMs })),
    ...(configs ? tooFewInSync(own, configs, seen) : []).map((one) => ({ ...one, afterMs: replicasMs })),
    ...morePartitions(own, seen),
    ...fewReplicas(own, seen),
    ...(configs ? drift(own, configs, replicasOf(seen)) : []),
  ];
}

function replicasOf({ partitions }: TopicSeen): number {
  return Math.min(...partitions.map(({ replicas }) => replicas.length));
}

function list(numbers: readonly number[]): string {
  return numbers.toSorted((a, b) => a - b).join(', ');
}
/** Returns the subject and the verb of a sentence about partitions. */
function some(partitions: readonly PartitionMetadata[], topic: string): string {
  const numbers = list(partitions.map(({ partition }) => partition));
  return partitions.length === 1 ? `partition ${numbers} of ${topic} has` : `partitions ${numbers} of ${topic} have`;
}
/** Returns the remedy: to start the missing brokers that hold these partitions' replicas, or else to read the logs. */
function away(partitions: readonly PartitionMetadata[], { nodes }: TopicSeen): string {
  const missing = new Set(partitions.flatMap(({ replicas }) => replicas.filter((node) => !nodes.includes(node))));
  return missing.size > 0 ? `Start broker ${list([...missing])}` : 'Check the logs of its brokers';
}

function leaderless({ topic }: OwnTopic, seen: TopicSeen): Finding[] {
  const none = seen.partitions.filter(({ leader }) => leader === null);
  if (none.length === 0) return [];
  const text = `${some(none, topic.name)} no leader, so nothing is read or written there`;
  return [{ kind: 'leaderless', afterMs: 0, ready: false, text: `${text}. ${away(none, seen)}` }];
}

function tooFewInSync({ topic }: OwnTopic, configs: Configs, seen: TopicSeen): Finding[] {
  const needed = Number(configs['min.insync.replicas'] ?? 1);
  const few = seen.partitions.filter(({ leader, inSync }) => leader !== null && inSync.length < needed);
  if (few.length === 0) return [];
  const counts = `fewer in-sync replicas than min.insync.replicas (${needed})`;
  const text = `${some(few, topic.name)} ${counts}, so nothing is written there`;
  return [{ kind: 'in-sync', afterMs: 0, ready: false, text: `${text}. ${away(few, seen)}` }];
}

function morePartitions({ topic }: OwnTopic, { partitions }: TopicSeen): Finding[] {
  if (partitions.length === topic.partitions || partitions.length === 0) return [];
  const counts = `${topic.name} has ${partitions.length} partitions, but this version uses ${topic.partitions}`;
  const effect = 'Records in the other partitions are not read, and no instance can start with this topic';
  const remedy =
    'Stop its senders, wait until its queues are empty (busbar queues), delete the topic, and start them again';
  return [{ kind: 'partitions', afterMs: 0, ready: true, text: `${counts}. ${effect}. ${remedy}` }];
}

function fewReplicas({ topic, replicas: wanted }: OwnTopic, seen: TopicSeen): Finding[] {
  const replicas = replicasOf(seen);
  const possible = Math.min(wanted, seen.nodes.length);
  if (seen.partitions.length === 0 || replicas >= possible) return [];
  const effect = 'so its records are lost when fewer brokers fail';
  const text = `topic ${topic.name} has ${replicas} replicas, not ${possible}, ${effect}`;
  const remedy =
    'Add some: kafka-reassign-partitions.sh --execute, with a plan that names more brokers for each partition';
  return [{ kind: 'replicas', afterMs: 0, ready: true, text: `${text}. ${remedy}` }];
}

/** Effect of a setting that differs from this version's value; undefined if it does no harm. */
type Effect = (found: string, wanted: string) => string | undefined;
const handledOrNot = 'whether they were handled or not';
const effects: Readonly<Record<string, Effect>> = {
  'cleanup.policy': (found) =>
    found.includes('compact')
      ? `of the records of one key all but the newest are deleted, ${handledOrNot}`
      : 'old records are deleted, also those that were not replayed or dropped',
  'retention.ms': (found, wanted) =>
    wanted === '-1'
      ? `records are deleted when they are older than ${found} ms, ${handledOrNot}`
      : `records are kept for ${found} ms instead of ${wanted} ms`,
  'retention.bytes': (found) =>
    `the oldest records are deleted when a partition is larger than ${found} bytes, ${handledOrNot}`,
  'message.timestamp.type': () => 'deadlines and ages depend on the clocks of the senders',
  'max.message.bytes': (found, wanted) =>
    Number(found) < Number(wanted)
      ? `messages of more than ${found} bytes are rejected`
      : 'the brokers accept messages that are too large to be parked whole',
  'compression.type': (found) =>
    found === 'zstd' ? 'instances on Node.js before 22.15 cannot read it' : 'reading it takes more time',
  'min.insync.replicas': (found, wanted) =>
    Number(found) < Number(wanted)
      ? 'an accepted message is lost when one broker fails'
      : 'writing stops when fewer brokers fail',
};

/** Returns a finding about the settings that weaken busbar's guarantees by differing from this version's values. */
function drift({ topic }: OwnTopic, configs: Configs, replicas: number): Finding[] {
  const wanted = configsOf(topic, replicas);
  const differ = Object.entries(effects).flatMap(([name, effect]) => {
    const [found, right] = [configs[name] ?? 'unknown', wanted[name]];
    return right === undefined || found === right ? [] : [{ name, found, right, effect: effect(found, right) }];
  });
  if (differ.length === 0) return [];
  const said = differ
    .map(({ name, found, right, effect }) => `${name} is ${found}, not ${right}: ${effect}`)
    .join('; ');
  const settings = differ.map(({ name, right }) => `${name}=${right}`).join();
  const command = `kafka-configs.sh --alter --entity-type topics --entity-name ${topic.name} --add-config ${settings}`;
  return [
    {
      kind: 'settings',
      afterMs: 0,
      ready: true,
      text: `topic ${topic.name} was changed: ${said}. Restore it: ${command}`,
    },
  ];
}
