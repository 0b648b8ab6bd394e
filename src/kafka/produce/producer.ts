/** Writes records to the log: one batch per partition is in flight, resent unchanged until its outcome is known. */
import { every, type Timer } from '../../base/clock';
import { BusError } from '../../base/errors';
import { closable, type Closable } from '../../base/lifecycle';
import type { Append } from '../../ports/log';
import { busErrorOf, KafkaError } from '../protocol/errors';
import { PendingAppends, type PendingAppend, type Item, type Acknowledged } from './pending-appends';
import { failCalls, PartitionQueue, sinceSentMs, TopicQueues, type Batch } from './partition-queue';
import { BrokerSink } from './broker-sink';
import { LeaderSearch } from './leader-search';
import { isSequenceError, ProducerId } from './producer-id';
import type { ProducerOptions } from './producer-options';
import * as sendable from './append-errors';
import type { TopicShape } from '../cluster/topics';
import type { ClusterMetadata } from '../cluster/metadata';
import { pauseMs } from '../cluster/retry';
import type { Channel } from '../client/broker-client';
import type { Produced } from '../protocol/types';

/** Interval at which appends are checked for their time limit. */
const reportAfterMs = 1_000;
/** Maximum pause before a failed batch is sent again. */
const retryMsMax = 1_000;
/**
 * Time after which a topic that the brokers do not know counts as deleted. A broker that has just started can lack it
 * for a moment.
 */
const topicAbsentMsMax = 5_000;
/** Maximum time for which `close` waits for open appends, so that an unreachable broker does not block the shutdown. */
const closeWaitMsMax = 2_000;

export class Producer implements Closable {
  readonly #topics = new Map<string, TopicQueues>();
  readonly #sinks = new Map<number, BrokerSink>();
  readonly #leaderSearch: LeaderSearch;
  readonly #producerId: ProducerId | undefined;
  /** Queues that have records to send and wait for a producer id. */
  readonly #unidentified: PartitionQueue[] = [];
  readonly #pending: PendingAppends;
  readonly #closing = new AbortController();
  #ended = false;
  readonly #sweep: Timer;
  readonly #unwatch: () => void;
  readonly #appendMs: number;
  readonly #unknownMs: number;
  readonly #channel: Channel;
  #isClosed = false;
  readonly #closer = closable(() => this.#close());
  readonly close = (): Promise<void> => this.#closer.close();

  constructor(
    private readonly metadata: ClusterMetadata,
    private readonly options: ProducerOptions,
  ) {
    this.#appendMs = options.appendMs ?? 30_000;
    this.#unknownMs = options.unknownMs ?? 600_000;
    this.#channel = options.channel ?? 'produce';
    this.#pending = new PendingAppends(metadata.parts.clock);
    const { signal: closing } = this.#closing;
    this.#leaderSearch = new LeaderSearch(metadata, (queue) => this.#offerAgain(queue), closing);
    const ready = (): void => this.#unidentified.splice(0).forEach((queue) => this.#offerAgain(queue));
    const refused = (error: KafkaError): void =>
      this.#unidentified.splice(0).forEach((queue) => this.#abandonAll(queue, error));
    this.#producerId = options.idempotent ? new ProducerId({ metadata, ready, refused, closing }) : undefined;
    this.#sweep = every(metadata.parts.clock, reportAfterMs, () => this.#sweepOver());
    this.#unwatch = metadata.watch(() => this.#followLeaders());
  }

  /**
   * Implements `Log.append`. Resolves when all records are in the log on all in-sync replicas. Rejects with Unreachable
   * after `withinMs`. Records that were not sent by then are never sent.
   */
  append(topic: string, records: readonly Append[], withinMs = this.#appendMs): Promise<readonly Acknowledged[]> {
    const of = this.#topicOf(topic);
    const { call, landed } = this.#pending.begin(topic, records.length, withinMs);
    try {
      if (this.#isClosed) throw new BusError('Closed', 'the log was closed', { outcome: 'not-sent', sinceMs: 0 });
      const items = this.#pending.itemsOf(call, records, this.#pending.checkRoom(topic, records));
      const shape = of.shapeFor(items, this.metadata.parts.clock.mono());
      if (shape) this.#enqueue(of, shape, call, items);
      else void this.#enqueueLater(topic, of, call, items);
    } catch (error) {
      call.fail(error);
    }
    return landed;
  }

  #topicOf(topic: string): TopicQueues {
    const of = this.#topics.get(topic) ?? new TopicQueues();
    this.#topics.set(topic, of);
    return of;
  }

  /** Holds a call until the shape of its topic is known. Later calls for the topic wait behind it, in order. */
  async #enqueueLater(topic: string, of: TopicQueues, call: PendingAppend, items: readonly Item[]): Promise<void> {
    of.waiting.push({ call, items });
    if (of.waiting.length > 1) return;
    this.#producerId?.stateFor(undefined); // requests the id meanwhile
    let failure: unknown;
    try {
      of.shape = await this.options.shapeOf(topic, of.shape !== undefined);
    } catch (error) {
      failure = error;
    }
    for (const waiting of of.waiting.splice(0)) {
      if (of.shape) this.#enqueue(of, of.shape, waiting.call, waiting.items);
      else this.#refuse(waiting.call, waiting.items, failure);
    }
  }

  #enqueue(of: TopicQueues, shape: TopicShape, call: PendingAppend, items: readonly Item[]): void {
    try {
      for (const { record } of items) sendable.checkRecord(call.topic, shape, record);
    } catch (error) {
      return this.#refuse(call, items, error);
    }
    if (items.length === 0) call.done();
    for (const item of items) {
      const { partition } = item.record;
      const queue = (of.queues[partition] ??= new PartitionQueue(call.topic, partition));
      queue.add(item);
      this.#offer(queue);
    }
  }

  #refuse(call: PendingAppend, items: readonly Item[], error: unknown): void {
    for (const item of items) this.#pending.free(item);
    call.fail(error);
  }

  /** Adds a queue to its leader's next request, if it has records and is neither waiting, in flight nor pausing. */
  #offer(queue: PartitionQueue): void {
    if (queue.queued || queue.inFlight || queue.retryTimer || queue.empty || this.#ended) return;
    queue.queued = true;
    const node = this.metadata.leader(queue);
    if (node === undefined) {
      this.#leaderSearch.add(queue);
      return;
    }
    this.#sinkOf(node).add(queue);
  }

  #sinkOf(node: number): BrokerSink {
    const found = this.#sinks.get(node);
    if (found) return found;
    const made = new BrokerSink(node, {
      metadata: this.metadata,
      channel: this.#channel,
      next: (queue) => this.#next(queue),
      offer: (queue) => this.#offer(queue),
      offerAgain: (queue) => this.#offerAgain(queue),
      answered: (...how) => this.#answered(...how),
      failed: (...how) => this.#failed(...how),
    });
    this.#sinks.set(node, made);
    return made;
  }

  #followLeaders(): void {
    for (const sink of this.#sinks.values()) sink.followLeaders();
  }

  #offerAgain(queue: PartitionQueue): void {
    this.#expire(queue);
    queue.queued = false;
    this.#offer(queue);
  }

  /**
   * Returns the batch that a queue sends next. Undefined if the queue has none, or waits for a producer id, or if the
   * calls were already rejected by `close`: their records must not be sent after that.
   */
  #next(queue: PartitionQueue): Batch | undefined {
    if (queue.empty || this.#ended) return undefined;
    if (this.#isIdentified(queue)) return this.#firstOf(queue);
    queue.queued = true;
    this.#unidentified.push(queue);
    return undefined;
  }
  #isIdentified(queue: PartitionQueue): boolean {
    if (!this.#producerId) return true;
    queue.producer = this.#producerId.stateFor(queue.producer);
    return queue.producer !== undefined;
  }

  #answered(node: number, token: object, queue: PartitionQueue, batch: Batch, answer: Produced | undefined): void {
    if (!answer || answer.error !== null || answer.offset < 0) {
      const error = answer?.error ?? new KafkaError('UNVERIFIED', `the response does not contain ${queue.name}`);
      return this.#failed(node, token, queue, batch, error, answer?.refused);
    }
    if (queue.inFlight !== token) return;
    queue.inFlight = undefined;
    queue.acknowledged();
    batch.items.forEach((item, i) => {
      this.#pending.free(item);
      item.call.acknowledge(item.index, {
        partition: queue.partition,
        offset: answer.offset + i,
        timeMs: answer.timeMs,
      });
    });
    this.metadata.writes.taken(queue.topic);
    this.#offer(queue);
  }

  #failed(
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
    if (error.fatal) this.metadata.writes.refused(queue.topic, error);
    if (error.fatal || error.code === 'CLOSED') return this.#abandon(queue, batch, error);
    if (error.step === 'rejected') return this.#refused(queue, batch, error, refused);
    // The broker would have recognized a copy, so the log has lost records of this producer that it acknowledged
    // before.
    if (isSequenceError(error)) queue.restart();
    if (error.step === 'leader') {
      this.metadata.invalidateLeader(queue, node);
      void this.metadata.refresh();
    }
    this.#expire(queue);
    const waitMs = pauseMs(this.metadata.parts.random, batch.tries - 1, retryMsMax);
    queue.retryTimer = this.metadata.parts.clock.after(waitMs, () => {
      queue.retryTimer = undefined;
      this.#offer(queue);
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
        this.#pending.free(item);
        item.call.refuse(item.index, sendable.rejection(queue.name, item.bytes, error, reason));
      }
    }
    this.#offer(queue);
  }

  /** Removes a batch, which is not sent again. Its calls fail with the error, or with an unknown outcome. */
  #abandon(queue: PartitionQueue, batch: Batch, error: KafkaError): void {
    queue.giveUp();
    const reported = this.#errorFor(batch, error, queue.name);
    for (const item of batch.items) this.#pending.free(item);
    failCalls(batch, reported);
    this.#offer(queue);
  }

  #abandonAll(queue: PartitionQueue, error: KafkaError): void {
    for (let first = this.#firstOf(queue); first; first = this.#firstOf(queue)) this.#abandon(queue, first, error);
    queue.queued = false;
  }

  /**
   * Returns the error for the calls of a batch. If the batch can have been written before, a later error does not
   * change that its outcome is unknown.
   */
  #errorFor(batch: Batch, error: KafkaError, lane: string): BusError {
    const { items, uncertain } = batch;
    const waitedMs = Math.round(sinceSentMs(batch, this.metadata.parts.clock));
    if (!uncertain) return busErrorOf(error, lane, waitedMs, this.metadata.parts.user);
    return sendable.unknownOutcome(items[0]?.call.topic ?? '', waitedMs, error.message);
  }

  /** Gives up the first batch if its outcome has been unknown for too long, and all records of a deleted topic. */
  #expire(queue: PartitionQueue): void {
    const { batch, inFlight: flight } = queue;
    if (flight) return;
    const sinceMs = batch ? sinceSentMs(batch, this.metadata.parts.clock) : 0;
    if (this.metadata.absentMs(queue.topic) > topicAbsentMsMax) {
      const reason = this.metadata.whyLeaderless(queue.topic);
      for (let first = this.#firstOf(queue); first; first = this.#firstOf(queue)) this.#giveUp(queue, first, reason);
    } else if (batch && sinceMs >= this.#unknownMs)
      this.#giveUp(queue, batch, `no outcome for ${Math.round(sinceMs)} ms: ${batch.failure}`);
  }
  #giveUp(queue: PartitionQueue, batch: Batch, reason: string): void {
    const what = `${batch.items.length} records for ${queue.name}`;
    this.metadata.parts.notices.emit({ type: 'dropped', what, reason });
    this.#abandon(queue, batch, new KafkaError('DEADLINE', reason, { sent: batch.uncertain }));
  }
  #firstOf = (queue: PartitionQueue): Batch | undefined => queue.first((item) => this.#pending.free(item));

  /** Rejects overdue appends. Their records stay in the queue if they can have been written. */
  #sweepOver(): void {
    const overdue = this.#pending.overdue();
    if (overdue.length === 0) return;
    const sent = this.#sentCalls();
    const causes = new Map<string, string>();
    for (const call of overdue) {
      const cause = causes.get(call.topic) ?? this.#failureOf(call.topic);
      causes.set(call.topic, cause);
      call.fail(gaveUp(call, call.withinMs, cause, sent));
    }
    for (const { queues } of this.#topics.values()) {
      queues.forEach((queue) => queue.dropOver((item) => this.#pending.free(item)));
    }
  }

  /**
   * Returns the calls of which a record can have been sent or will be sent. One pass over the records of all queues
   * serves all calls that end together: a pass per call blocks the event loop for seconds during an outage.
   */
  #sentCalls(): ReadonlySet<PendingAppend> {
    const sent = new Set<PendingAppend>();
    for (const { queues } of this.#topics.values()) queues.forEach((queue) => queue.addSent(sent));
    return sent;
  }

  #failureOf(topic: string): string {
    if (this.metadata.absentMs(topic) > 0) return this.metadata.whyLeaderless(topic);
    const failure = this.#topics.get(topic)?.failure ?? this.#producerId?.failure;
    return failure ?? 'the partition has no leader, or its leader does not respond';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    const { clock } = this.metadata.parts;
    await this.#pending.runOut(closeWaitMsMax);
    this.#ended = true;
    this.#closing.abort();
    this.#sweep.cancel();
    this.#unwatch();
    const cause = 'the log was closed while it was being written';
    const sent = this.#sentCalls();
    for (const call of this.#pending.all()) call.fail(gaveUp(call, clock.mono() - call.begunMs, cause, sent));
    for (const { queues } of this.#topics.values()) queues.forEach((queue) => queue.retryTimer?.cancel());
  }
}

/**
 * Returns the error of an append that ends early. It is "not written" if no record was sent, because its waiting
 * records are dropped.
 */
function gaveUp(call: PendingAppend, waitedMs: number, cause: string, sent: ReadonlySet<PendingAppend>): BusError {
  const isUncertain = call.isAcknowledged || sent.has(call);
  return (isUncertain ? sendable.unknownOutcome : sendable.notWritten)(call.topic, waitedMs, cause);
}
