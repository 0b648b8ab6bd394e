/** Options of a producer. */
import type { Channel } from '../client/broker-client';
import type { TopicShape } from '../cluster/topics';

export interface ProducerOptions {
  /** Time after which an append without its own limit rejects with Unreachable. Default 30,000 ms. */
  readonly appendMs?: number;
  /** Time after which a batch with an unknown outcome is given up. Default 600,000 ms. */
  readonly unknownMs?: number;
  readonly channel?: Channel;
  /**
   * Makes the broker write each batch once even if it arrives several times. Costs one request before the first batch.
   */
  readonly idempotent?: boolean;
  /**
   * Returns the number of partitions of a topic, and its need for record keys. Rejects with Config if the topic does
   * not exist. `again` is true if a record names a partition beyond those of the last result.
   */
  readonly shapeOf: (topic: string, again: boolean) => Promise<TopicShape>;
}
