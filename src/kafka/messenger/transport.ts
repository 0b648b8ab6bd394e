/** What the post needs of Kafka, on one wire: a sender and readers of its own, so that nothing else holds it up. */
import { allEnded, closable, type Closable } from '../../base/lifecycle';
import type { LogRecord, Tail, Topic } from '../../ports/log';
import { Fetcher } from '../consume/fetcher';
import { Sender } from '../produce/producer';
import type { SenderOptions } from '../produce/producer-options';
import { openTail } from '../consume/tail';
import { Topics, type TopicsOptions } from '../cluster/topics';
import type { View } from '../cluster/metadata';

/** What the post needs of Kafka. */
export interface Roads {
  /** Creates the topic where that is wanted and it is not there; resolves with the partitions that it has. */
  ensure(topic: Topic): Promise<number>;
  /**
   * Resolves when it is in the log. Records of one partition get there in the order of the calls: one with an unknown
   * outcome is sent again, as often as it takes, and nothing passes it. Rejects what was given up, as what is not sent
   * `withinMs` is. Copies the record.
   */
  append(topic: string, partition: number, record: LogRecord, withinMs: number): Promise<void>;
  /** All that is appended to the partition from now on. */
  tail(topic: string, partition: number, via: 'inbox' | 'tails'): Promise<Tail>;
  /** Whether somebody leads the partition, as far as known. */
  isLed(topic: string, partition: number): boolean;
}

/** Closing waits for what is on its way, two seconds at most. */
export function openRoads(view: View, options: TopicsOptions = {}): Roads & Closable {
  const topics = new Topics(view, options);
  // The inbox grows with the instances: whoever comes later may be behind a partition that was not there before.
  const shapeOf: SenderOptions['shapeOf'] = (topic, again) => (again ? topics.shapeAgain(topic) : topics.shape(topic));
  const sender = new Sender(view, { via: 'post', shapeOf });
  const fetchers = { inbox: new Fetcher(view, 'inbox'), tails: new Fetcher(view, 'tails') };
  return {
    async ensure(topic) {
      // Operators may give it more partitions than we would: any number will do.
      const partitions = (await view.find(topic.name)) ?? topic.partitions;
      return (await topics.ensure({ ...topic, partitions })).partitions;
    },
    // Nobody looks at what it resolves with, and a promise that hides it would cost more than the cast.
    append: (topic, partition, record, withinMs) =>
      sender.append(topic, [{ ...record, partition }], withinMs) as Promise<unknown> as Promise<void>,
    async tail(topic, partition, via) {
      const offset = (await topics.offsets([{ topic, partition }], 'end')).get(partition) ?? 0;
      return openTail(fetchers[via], [{ topic, partition, offset }], () => undefined);
    },
    isLed: (topic, partition) => view.leader({ topic, partition }) !== undefined,
    ...closable(async () => {
      await allEnded('closing the post', [fetchers.inbox.close(), fetchers.tails.close(), sender.close()]);
    }),
  };
}
