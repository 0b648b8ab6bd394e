/** Connects the messenger to Kafka, with a producer and readers of its own, so that no other traffic delays it. */
import { allEnded, closable, type Closable } from '../../base/lifecycle';
import type { LogRecord, Tail, Topic } from '../../ports/log';
import { Fetcher } from '../consume/fetcher';
import { Producer } from '../produce/producer';
import type { ProducerOptions } from '../produce/producer-options';
import { openTail } from '../consume/tail';
import { Topics, type TopicsOptions } from '../cluster/topics';
import type { ClusterMetadata } from '../cluster/metadata';

/** Operations on Kafka that the messenger needs. */
export interface Transport {
  /** Creates a missing topic if creation is enabled. Resolves with the number of partitions. */
  ensure(topic: Topic): Promise<number>;
  /**
   * Resolves when the record is in the log. Records of one partition are written in the order of the calls. A record
   * with an unknown outcome is resent until the outcome is known, and no later record passes it. Rejects when the
   * record is given up, or is not sent within `withinMs`. Copies the record.
   */
  append(topic: string, partition: number, record: LogRecord, withinMs: number): Promise<void>;
  /** Reads all records that are appended to the partition from now on. */
  tail(topic: string, partition: number, channel: 'inbox' | 'tails'): Promise<Tail>;
  /** Returns true if the partition has a known leader. */
  isLed(topic: string, partition: number): boolean;
}

/** Opens the transport. Closing waits for records in flight, for at most two seconds. */
export function openTransport(metadata: ClusterMetadata, options: TopicsOptions = {}): Transport & Closable {
  const topics = new Topics(metadata, options);
  // The inbox grows with the instances, so a new instance can use a partition that did not exist before.
  const shapeOf: ProducerOptions['shapeOf'] = (topic, again) =>
    again ? topics.shapeAgain(topic) : topics.shape(topic);
  const sender = new Producer(metadata, { channel: 'messenger', shapeOf });
  const fetchers = { inbox: new Fetcher(metadata, 'inbox'), tails: new Fetcher(metadata, 'tails') };
  return {
    async ensure(topic) {
      // Operators can create the topic with another number of partitions. Any number works.
      const partitions = (await metadata.findTopic(topic.name)) ?? topic.partitions;
      return (await topics.ensure({ ...topic, partitions })).partitions;
    },
    // The result is not used, and a promise without it would cost more than the cast.
    append: (topic, partition, record, withinMs) =>
      sender.append(topic, [{ ...record, partition }], withinMs) as Promise<unknown> as Promise<void>,
    async tail(topic, partition, via) {
      const offset = (await topics.offsets([{ topic, partition }], 'end')).get(partition) ?? 0;
      return openTail(fetchers[via], [{ topic, partition, offset }], () => undefined);
    },
    isLed: (topic, partition) => metadata.leader({ topic, partition }) !== undefined,
    ...closable(async () => {
      await allEnded('closing the messenger', [fetchers.inbox.close(), fetchers.tails.close(), sender.close()]);
    }),
  };
}
