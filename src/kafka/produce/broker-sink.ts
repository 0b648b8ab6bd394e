/** Sends the batches of all partitions that one broker leads, together in one Produce request at a time. */
import { every } from '../../base/clock';
import type { Channel } from '../client/broker-client';
import type { ClusterMetadata } from '../cluster/metadata';
import { KafkaError, kafkaErrorOf } from '../protocol/errors';
import type { Produced } from '../protocol/types';
import type { Batch, PartitionQueue } from './partition-queue';

/** Maximum number of Produce requests in flight to one broker. Records that arrive meanwhile share the next request. */
const requestsInFlightMax = 1;
/**
 * Mean response time below which a request is sent without delay. The next request to a slower broker is delayed, so
 * that more records share it.
 */
const fastAnswerMs = 10;
/** Maximum delay of a request to a slow broker, so that batching adds little latency. */
const lingerMsMax = 2;
/** Weight of the newest response time in the moving mean, so that a single slow response changes it little. */
const newestShare = 1 / 8;
/** Size at which a request takes no further batch, which bounds its memory and its duration. */
const requestBytesMax = 4 * 1024 * 1024;
/** Maximum number of partitions in one request. */
const requestPartitionsMax = 100;
/**
 * Timeout of a Produce request. The leader waits for its replicas, for as long as the cluster needs to detect a dead
 * one.
 */
const produceMs = 15_000;
/**
 * Interval at which the metadata is refreshed while a request is unanswered, because its partitions can have a new
 * leader.
 */
const refreshIntervalMs = 1_000;

export interface BrokerSinkParts {
  readonly metadata: ClusterMetadata;
  readonly channel: Channel;
  /** Returns the batch that a queue sends next. Undefined if the queue has none, or waits for a producer id. */
  readonly next: (queue: PartitionQueue) => Batch | undefined;
  /** Passes the queue to the broker that leads its partition now. */
  readonly offer: (queue: PartitionQueue) => void;
  /** Passes on a queue that is not in this request, after its first batch was checked for expiry. */
  readonly offerAgain: (queue: PartitionQueue) => void;
  /**
   * Handles the response for one batch. `token` identifies the request: only the first outcome of a request counts for
   * a queue.
   */
  readonly answered: (
    node: number,
    token: object,
    queue: PartitionQueue,
    batch: Batch,
    answer: Produced | undefined,
  ) => void;
  readonly failed: (node: number, token: object, queue: PartitionQueue, batch: Batch, error: KafkaError) => void;
}

/** One partition's batch in a request. */
interface InFlightBatch {
  readonly queue: PartitionQueue;
  readonly batch: Batch;
}

export class BrokerSink {
  readonly #ready: PartitionQueue[] = [];
  #flights = 0;
  #isPlanned = false;
  /** Moving mean of the broker's response time. */
  #answerMs = 0;

  constructor(
    private readonly node: number,
    private readonly parts: BrokerSinkParts,
  ) {}

  add(queue: PartitionQueue): void {
    this.#ready.push(queue);
    this.#plan();
  }

  /**
   * Passes on all waiting queues if this broker no longer leads one of them. Otherwise they would wait until its
   * current request ends.
   */
  followLeaders(): void {
    const { metadata, offerAgain } = this.parts;
    if (this.#ready.every((queue) => metadata.leader(queue) === this.node)) return;
    for (const queue of this.#ready.splice(0)) offerAgain(queue);
  }

  /** Schedules the next request: after all appends of this turn, or after a short delay if the broker is slow. */
  #plan(): void {
    if (this.#isPlanned || this.#flights >= requestsInFlightMax || this.#ready.length === 0) return;
    this.#isPlanned = true;
    const go = (): void => {
      this.#isPlanned = false;
      this.#send();
    };
    const lingerMs = this.#lingerMs;
    // Send after all pending promise callbacks, because each of them can append records.
    if (lingerMs === 0) queueMicrotask(() => process.nextTick(go));
    else this.parts.metadata.parts.clock.after(lingerMs, go);
  }

  #send(): void {
    const batchesInFlight: InFlightBatch[] = [];
    let bytes = 0;
    while (this.#ready.length > 0 && batchesInFlight.length < requestPartitionsMax && bytes < requestBytesMax) {
      const queue = this.#ready.shift();
      if (!queue) break;
      queue.queued = false;
      if (this.parts.metadata.leader(queue) !== this.node) {
        this.parts.offer(queue);
        continue;
      }
      const batch = this.parts.next(queue);
      if (!batch) continue;
      batchesInFlight.push({ queue, batch });
      bytes += batch.bytes;
    }
    if (batchesInFlight.length > 0) void this.#fly(batchesInFlight);
  }

  async #fly(batchesInFlight: readonly InFlightBatch[]): Promise<void> {
    const { answered, failed, metadata, channel } = this.parts;
    const { client, clock } = metadata.parts;
    const token = {};
    const sentMs = clock.mono();
    for (const { queue, batch } of batchesInFlight) {
      queue.inFlight = token;
      batch.tries++;
      batch.firstSent ??= { monoMs: sentMs, nowMs: clock.now() };
    }
    this.#flights++;
    const watch = every(clock, refreshIntervalMs, () => void this.#watch(token, batchesInFlight));
    try {
      const at = { node: this.node, channel: channel };
      const batchRequests = batchesInFlight.map(({ queue, batch }) => ({
        topic: queue.topic,
        partition: queue.partition,
        records: batch.items.map(({ record }) => record),
        ...(queue.producer && { producer: queue.producer }),
      }));
      const answers = await client.produce(at, batchRequests, produceMs);
      this.#answerMs += (clock.mono() - sentMs - this.#answerMs) * newestShare;
      batchesInFlight.forEach(({ queue, batch }, i) => answered(this.node, token, queue, batch, answers[i]));
    } catch (error) {
      for (const { queue, batch } of batchesInFlight) failed(this.node, token, queue, batch, kafkaErrorOf(error));
    }
    watch.cancel();
    this.#flights--;
    this.#plan();
  }

  /**
   * Refreshes the metadata while a request is unanswered. A batch whose partition has a new leader fails with an
   * unknown outcome, and is then sent to that leader.
   */
  async #watch(token: object, batchesInFlight: readonly InFlightBatch[]): Promise<void> {
    const { node } = this;
    const { metadata, failed, offerAgain } = this.parts;
    await metadata.refresh();
    for (const { queue, batch } of batchesInFlight) {
      const leader = metadata.leader(queue);
      if (leader === undefined || leader === node) continue;
      const reason = `broker ${node} did not respond, and broker ${leader} is the leader now`;
      failed(node, token, queue, batch, new KafkaError('DEADLINE', reason));
    }
    for (const queue of this.#ready.splice(0)) offerAgain(queue);
  }

  get #lingerMs(): number {
    // Requests and replies have one batch in flight, so records that arrive meanwhile share the next request anyway.
    const isFast = this.parts.channel === 'messenger' || this.#answerMs < fastAnswerMs;
    return isFast ? 0 : Math.min(lingerMsMax, this.#answerMs / fastAnswerMs);
  }
}
