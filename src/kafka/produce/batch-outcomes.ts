/** Handles the outcomes of batches: acknowledges, retries, splits or abandons their records. Sends nothing. */
import type { BusError } from '../../base/errors';
import type { ClusterMetadata } from '../cluster/metadata';
import { pauseMs } from '../cluster/retry';
import { busErrorOf, KafkaError } from '../protocol/errors';
import type { Produced } from '../protocol/types';
import * as sendable from './append-errors';
import { failCalls, sinceSentMs, type Batch, type PartitionQueue } from './partition-queue';
import type { PendingAppends } from './pending-appends';
import { isSequenceError } from './producer-id';

/** Maximum pause before a failed batch is sent again. */
const retryMsMax = 1_000;
/**
 * Time after which a topic that the brokers do not know counts as deleted. A broker that has just started can lack it
 * for a moment.
 */
const topicAbsentMsMax = 5_000;

export interface BatchOutcomesParts {
  readonly metadata: ClusterMetadata;
  readonly pending: Pick<PendingAppends, 'free'>;
  /** Time after which a batch with an unknown outcome is given up. */
  readonly unknownMs: number;
  /** Passes the queue to the broker that leads its partition now. */
  readonly offer: (queue: PartitionQueue) => void;
}

export class BatchOutcomes {
  constructor(private readonly parts: BatchOutcomesParts) {}

  /** Handles the response for a batch. */
  answered(node: number, token: object, queue: PartitionQueue, batch: Batch, answer: Produced | undefined): void {
    if (!answer || answer.error !== null || answer.offset < 0) {
      const error = answer?.error ?? new KafkaError('UNVERIFIED', `the response does not contain ${queue.name}`);
      return this.failed(node, token, queue, batch, error, answer?.refused);
    }
    if (queue.inFlight !== token) return;
    queue.inFlight = undefined;
    queue.acknowledged();
    batch.items.forEach((item, i) => {
      this.parts.pending.free(item);
      item.call.acknowledge(item.index, {
        partition: queue.partition,
        offset: answer.offset + i,
        timeMs: answer.timeMs,
      });
    });
    this.parts.metadata.writes.taken(queue.topic);
    this.parts.offer(queue);
  }

  /** Handles the failure of a batch: sends it again after a pause, or rejects its records. */
  failed(
    node: number,
    token: object,
    queue: PartitionQueue,
    batch: Batch,
    error: KafkaError,
    refused: Produced['refused'] = [],
  ): void {
    if (queue.inFlight !== token) return; // this request already has an outcome
    queue.inFlight = undefined;
    batch.failure = error.message;
    if (error.uncertain) batch.uncertain = true;
    if (error.fatal) this.parts.metadata.writes.refused(queue.topic, error);
    if (error.fatal || error.code === 'CLOSED') return this.#abandon(queue, batch, error);
    if (error.step === 'rejected') return this.#refused(queue, batch, error, refused);
    // The broker would have recognized a copy, so the log has lost records of this producer that it acknowledged
    // before.
    if (isSequenceError(error)) queue.restart();
    if (error.step === 'leader') {
      this.parts.metadata.invalidateLeader(queue, node);
      void this.parts.metadata.refresh();
    }
    this.expire(queue);
    const waitMs = pauseMs(this.parts.metadata.parts.random, batch.tries - 1, retryMsMax);
    queue.retryTimer = this.parts.metadata.parts.clock.after(waitMs, () => {
      queue.retryTimer = undefined;
      this.parts.offer(queue);
    });
  }

  /**
   * Rejects the records that the broker names, or halves the batch to find them. The other records keep their order. A
   * batch that can have been written is abandoned instead, because its parts could be written a second time.
   */
  #refused(queue: PartitionQueue, batch: Batch, error: KafkaError, refused: Produced['refused']): void {
    if (batch.uncertain) return this.#abandon(queue, batch, error);
    const { items } = batch;
    const reasons = sendable.reasonsByIndex(items.length, refused, error);
    if (reasons.size === 0) {
      const half = items.length >> 1;
      queue.replaceFirst([items.slice(0, half), items.slice(half)]);
    } else {
      queue.replaceFirst([items.filter((_, i) => !reasons.has(i))]);
      for (const [index, reason] of reasons) {
        const item = items[index];
        if (!item) continue;
        this.parts.pending.free(item);
        item.call.refuse(item.index, sendable.rejection(queue.name, item.bytes, error, reason));
      }
    }
    this.parts.offer(queue);
  }

  /** Removes a batch, which is not sent again. Its calls fail with the error, or with an unknown outcome. */
  #abandon(queue: PartitionQueue, batch: Batch, error: KafkaError): void {
    queue.giveUp();
    const reported = this.#errorFor(batch, error, queue.name);
    for (const item of batch.items) this.parts.pending.free(item);
    failCalls(batch, reported);
    this.parts.offer(queue);
  }

  /** Removes all batches of a queue, which are not sent. */
  abandonAll(queue: PartitionQueue, error: KafkaError): void {
    for (let first = this.firstOf(queue); first; first = this.firstOf(queue)) this.#abandon(queue, first, error);
    queue.queued = false;
  }

  /**
   * Returns the error for the calls of a batch. If the batch can have been written before, a later error does not
   * change that its outcome is unknown.
   */
  #errorFor(batch: Batch, error: KafkaError, lane: string): BusError {
    const { items, uncertain } = batch;
    const waitedMs = Math.round(sinceSentMs(batch, this.parts.metadata.parts.clock));
    if (!uncertain) return busErrorOf(error, lane, waitedMs, this.parts.metadata.parts.user);
    return sendable.unknownOutcome(items[0]?.call.topic ?? '', waitedMs, error.message);
  }

  /** Gives up the first batch if its outcome has been unknown for too long, and all records of a deleted topic. */
  expire(queue: PartitionQueue): void {
    const { batch, inFlight: flight } = queue;
    if (flight) return;
    const sinceMs = batch ? sinceSentMs(batch, this.parts.metadata.parts.clock) : 0;
    if (this.parts.metadata.absentMs(queue.topic) > topicAbsentMsMax) {
      const reason = this.parts.metadata.whyLeaderless(queue.topic);
      for (let first = this.firstOf(queue); first; first = this.firstOf(queue)) this.#giveUp(queue, first, reason);
    } else if (batch && sinceMs >= this.parts.unknownMs)
      this.#giveUp(queue, batch, `no outcome for ${Math.round(sinceMs)} ms: ${batch.failure}`);
  }
  #giveUp(queue: PartitionQueue, batch: Batch, reason: string): void {
    const what = `${batch.items.length} records for ${queue.name}`;
    this.parts.metadata.parts.notices.emit({ type: 'dropped', what, reason });
    this.#abandon(queue, batch, new KafkaError('DEADLINE', reason, { sent: batch.uncertain }));
  }
  /** Returns the batch that a queue sends next; undefined if it is empty. */
  readonly firstOf = (queue: PartitionQueue): Batch | undefined => queue.first((item) => this.parts.pending.free(item));
}
