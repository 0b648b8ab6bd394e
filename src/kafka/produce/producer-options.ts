/** Options of a producer. */
import type { Via } from '../client/broker-client';
import type { TopicShape } from '../cluster/topics';

export interface SenderOptions {
  /** An append that says nothing itself rejects with Unreachable after so long. Default 30,000 ms. */
  readonly appendMs?: number;
  /** A batch of unknown outcome is given up for good after so long. Default 600,000 ms. */
  readonly unknownMs?: number;
  readonly via?: Via;
  /** Whether the broker writes each batch once, however often it is sent. Costs one request before the first batch. */
  readonly idempotent?: boolean;
  /**
   * How many partitions the topic has, and whether records need keys; rejects with Config when it is not there. `again`
   * when a record named a partition that was not there the last time.
   */
  readonly shapeOf: (topic: string, again: boolean) => Promise<TopicShape>;
}
