/** Creates topics that do not exist, checks the existing ones, and trims them. */

import { sleep } from '../../base/clock';
import { BusError } from '../../base/errors';
import type { Bounds, Topic } from '../../ports/log';
import { KafkaError } from '../protocol/errors';
import { startingMsMax } from './broker-probe';
import { configsOf, createCommand, type Configs } from './own-topics';
import { byLeader, type ClusterMetadata } from './metadata';
import { allGood } from './retry';
import type { NewTopic, TopicPartition, TopicConfigs } from '../protocol/types';

export interface TopicShape {
  readonly partitions: number;
  readonly compacted: boolean;
}

export interface TopicsOptions {
  /** `verify` creates and changes nothing; its errors contain the command for an operator. Default 'create'. */
  readonly topics?: 'create' | 'verify';
  /** Topics that are created although `topics` is 'verify'. */
  readonly creates?: readonly string[];
  /** Replication factor of new topics. Default: three, or the number of brokers if that is less. */
  readonly replicas?: number;
}

/** Replication factor of new topics on clusters with enough brokers. */
export const replicasDefault = 3;
/** Interval of the requests for the brokers while they restart, in ms. */
const restartingPollMs = 500;
/** Maximum number of topics in one request for settings, to bound its response. */
const describedMax = 100;

export class Topics {
  readonly #shapes = new Map<string, Promise<TopicShape>>();

  constructor(
    private readonly metadata: ClusterMetadata,
    private readonly options: TopicsOptions,
  ) {}

  /** Implements `Log.ensure`. */
  async ensure(topic: Topic): Promise<Topic> {
    if (!(topic.partitions >= 1)) throw fault(`topic ${topic.name} needs at least one partition`, 'Raise partitions.');
    const found = await this.metadata.findTopic(topic.name);
    const partitions = found ?? (await this.#make(topic));
    const brokers = (await this.metadata.withRetries(`topic ${topic.name}`, () => this.metadata.nodes())).length;
    const wantedReplicas = this.options.replicas ?? Math.min(replicasDefault, Math.max(1, brokers));
    const there = await this.#describe(topic.name, partitions);
    if (partitions !== topic.partitions) throw fault(describePartitions(topic, partitions), partitionsRemedy);
    this.metadata.own.add({ topic, replicas: wantedReplicas, configs: there.configs });
    this.#shapes.set(topic.name, Promise.resolve(there.topic));
    return there.topic;
  }

  /** Returns the topic's partition count and whether it is compacted. Rejects with Config if it does not exist. */
  shape(topic: string): Promise<TopicShape> {
    const known = this.#shapes.get(topic);
    if (known) return known;
    const asked = this.metadata.partitions(topic).then(async (partitions) => {
      return (await this.#describe(topic, partitions)).topic;
    });
    this.#shapes.set(topic, asked);
    asked.catch(() => this.#shapes.delete(topic));
    return asked;
  }

  /** Returns the shape like {@link shape}, but requests the partition count again, since it can have risen. */
  async shapeAgain(topic: string): Promise<TopicShape> {
    await this.metadata.refresh();
    const shape = { ...(await this.shape(topic)), partitions: await this.metadata.partitions(topic) };
    this.#shapes.set(topic, Promise.resolve(shape));
    return shape;
  }

  /** Creates the topic, unless another process does. Returns the partition count when each partition has a leader. */
  async #make(topic: Topic): Promise<number> {
    const replicas = this.options.replicas ?? Math.min(replicasDefault, Math.max(1, await this.#brokers(topic.name)));
    const wanted = { name: topic.name, partitions: topic.partitions, replicas, configs: configsOf(topic, replicas) };
    if (this.options.topics === 'verify' && !this.options.creates?.includes(topic.name)) {
      throw fault(
        `topic '${topic.name}' does not exist, and topics: 'verify' creates none. Run: ${createCommand(wanted)}`,
        `Run ${createCommand(wanted)}, or set topics to 'create'.`,
      );
    }
    await this.metadata.withRetries(`creating topic ${topic.name}`, () => this.#create(wanted));
    return this.metadata.withRetries(`topic ${topic.name}`, async () => {
      const found = await this.metadata.findTopic(topic.name);
      const leaderless = Array.from({ length: found ?? 0 }, (_, partition) => ({ topic: topic.name, partition }));
      if (
        found !== undefined &&
        leaderless.every((topicPartition) => this.metadata.leader(topicPartition) !== undefined)
      )
        return found;
      throw new KafkaError('LEADER_NOT_AVAILABLE', `${topic.name} was created, but some partitions have no leader yet`);
    });
  }

  /**
   * Returns the number of running brokers. After an outage it waits for the configured ones: a topic that is created by
   * the first broker that is back would have too few replicas for good.
   */
  async #brokers(topic: string): Promise<number> {
    const { closing, parts } = this.metadata;
    const { clock, brokers = [] } = parts;
    const expected = Math.min(replicasDefault, brokers.length);
    for (;;) {
      const { length } = await this.metadata.withRetries(`topic ${topic}`, () => this.metadata.nodes());
      const isOver = clock.mono() - this.metadata.recoveredMs >= startingMsMax || closing.aborted;
      if (length >= expected || isOver) return length;
      await sleep(clock, restartingPollMs, closing);
      await this.metadata.refresh();
    }
  }

  async #create(topic: NewTopic): Promise<void> {
    const { client } = this.metadata.parts;
    const node = await this.metadata.controller();
    const [answer] = await client.createTopics({ node, channel: 'admin' }, [topic]);
    if (answer?.error && answer.error.code !== 'TOPIC_ALREADY_EXISTS') throw answer.error;
  }

  async #describe(name: string, partitions: number): Promise<{ readonly topic: Topic; readonly configs: Configs }> {
    const [said] = await this.metadata.withRetries(`topic ${name}`, () => this.#configs([name]));
    return { topic: topicOf(name, partitions, said), configs: valuesOf(said) };
  }

  async #configs(names: readonly string[]): Promise<readonly TopicConfigs[]> {
    const { client } = this.metadata.parts;
    const node = await this.metadata.controller();
    return allGood(await client.describeTopicConfigs({ node, channel: 'admin' }, names));
  }

  /** Returns all topics with names that begin with `prefix`, except Kafka's internal ones. */
  async all(prefix: string): Promise<readonly Topic[]> {
    const found = await this.metadata.withRetries('the topics', () => this.metadata.parts.client.metadata(null));
    const ours = found.topics.filter(({ name, internal, error }) => !internal && !error && name.startsWith(prefix));
    const topics: Topic[] = [];
    for (let i = 0; i < ours.length; i += describedMax) {
      const some = ours.slice(i, i + describedMax);
      const said = await this.metadata.withRetries('the topics', () => this.#configs(some.map(({ name }) => name)));
      const byName = new Map(said.map((one) => [one.topic, one]));
      topics.push(...some.map(({ name, partitions }) => topicOf(name, partitions.length, byName.get(name))));
    }
    return topics;
  }

  async bounds(topic: string): Promise<readonly Bounds[]> {
    const count = await this.metadata.partitions(topic);
    const topicPartitions = Array.from({ length: count }, (_, partition) => ({ topic, partition }));
    const [starts, highs] = await Promise.all([
      this.offsets(topicPartitions, 'start'),
      this.offsets(topicPartitions, 'high'),
    ]);
    // Read the ends last. Otherwise records appended in between would look as if a transaction held them.
    const ends = await this.offsets(topicPartitions, 'end');
    return topicPartitions.map(({ partition }) => {
      const end = ends.get(partition) ?? 0;
      const high = highs.get(partition) ?? 0;
      const start = Math.min(starts.get(partition) ?? 0, end);
      return { partition, start, end, ...(high > end && { high }) };
    });
  }

  /**
   * Returns the offset of the first record whose time is `timeMs` or later, by partition, or the end if there is none.
   */
  async offsetsSince(topicPartitions: readonly TopicPartition[], timeMs: number): Promise<ReadonlyMap<number, number>> {
    // Read the ends first, so that a record that is appended in between is not skipped.
    const ends = await this.offsets(topicPartitions, 'end');
    // Brokers read negative times as names of other offsets.
    const found = await this.offsets(topicPartitions, Math.max(0, timeMs));
    return new Map(
      Array.from(ends, ([partition, end]) => {
        const offset = found.get(partition) ?? -1;
        return [partition, offset < 0 ? end : offset];
      }),
    );
  }

  /**
   * Returns the offsets that the leaders report, by partition. For a time it is the first offset at or after it, or -1.
   */
  async offsets(
    topicPartitions: readonly TopicPartition[],
    time: 'start' | 'end' | 'high' | number,
  ): Promise<ReadonlyMap<number, number>> {
    const { client } = this.metadata.parts;
    return this.metadata.withRetries(`the bounds of ${topicPartitions[0]?.topic}`, async () => {
      const led = [...byLeader(this.metadata, topicPartitions)];
      const answers = await Promise.all(
        led.map(([node, mine]) =>
          client.listOffsets(
            { node, channel: 'admin' },
            mine.map((topicPartition) => ({ ...topicPartition, time })),
          ),
        ),
      );
      return new Map(allGood(answers.flat()).map(({ partition, offset }) => [partition, offset]));
    });
  }

  /** Implements `Log.trim`. */
  async trim(topic: string, partition: number, before: number): Promise<void> {
    const topicPartition = { topic, partition };
    const shape = await this.shape(topic);
    if (partition >= shape.partitions)
      throw fault(`topic '${topic}' has no partition ${partition}`, `Use a partition below ${shape.partitions}.`);
    const end = (await this.offsets([topicPartition], 'end')).get(partition) ?? 0;
    await this.metadata.withRetries(`trimming ${topic}/${partition}`, async () => {
      const at = { node: this.metadata.mustLead(topicPartition), channel: 'admin' } as const;
      const [answer] = await this.metadata.parts.client.deleteRecords(at, [
        { ...topicPartition, before: Math.min(before, end) },
      ]);
      // The log already starts after that offset, so nothing is left to delete.
      if (answer?.error && answer.error.code !== 'OFFSET_OUT_OF_RANGE') throw answer.error;
    });
  }
}

function topicOf(name: string, partitions: number, said: TopicConfigs | undefined): Topic {
  const configs = valuesOf(said);
  const compacted = (configs['cleanup.policy'] ?? '').includes('compact');
  const keepMs = Number(configs['retention.ms'] ?? -1);
  return { name, partitions, compacted, keepMs: compacted || !(keepMs >= 0) ? null : keepMs };
}
export function valuesOf(said: TopicConfigs | undefined): Configs {
  return Object.fromEntries(Object.entries(said?.configs ?? {}).map(([name, { value }]) => [name, value]));
}

function describePartitions(topic: Topic, found: number): string {
  return (
    `topic '${topic.name}' has ${found} partitions, but the code requires ${topic.partitions}: ` +
    'keep the number, or use another queue name and drain the old queue'
  );
}

const partitionsRemedy =
  'Use the number of partitions that the topic has, or use another queue name and drain the old queue.';
function fault(message: string, remedy: string): BusError<'Config'> {
  return new BusError('Config', message, { faults: [message] }, undefined, remedy);
}
