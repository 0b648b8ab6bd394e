/** Writes records to the log: one batch per partition is in flight, resent unchanged until its outcome is known. */
import { every, type Timer } from '../../base/clock';
import { BusError } from '../../base/errors';
import { closable, type Closable } from '../../base/lifecycle';
import type { Append, AppendOptions } from '../../ports/log';
import type { KafkaError } from '../protocol/errors';
import { PendingAppends, type PendingAppend, type Item, type Acknowledged } from './pending-appends';
import { PartitionQueue, TopicQueues, type Batch } from './partition-queue';
import { BatchOutcomes } from './batch-outcomes';
import { BrokerSink } from './broker-sink';
import { LeaderSearch } from './leader-search';
import { ProducerId } from './producer-id';
import type { ProducerOptions } from './producer-options';
import * as sendable from './append-errors';
import type { TopicShape } from '../cluster/topics';
import type { ClusterMetadata } from '../cluster/metadata';
import type { Channel } from '../client/broker-client';

/** Interval at which appends are checked for their time limit. */
const sweepIntervalMs = 1_000;
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
  readonly #outcomes: BatchOutcomes;
  readonly #closing = new AbortController();
  #ended = false;
  readonly #sweep: Timer;
  readonly #unwatch: () => void;
  readonly #appendMs: number;
  readonly #channel: Channel;
  #isClosed = false;
  readonly #closer = closable(() => this.#close());
  readonly close = (): Promise<void> => this.#closer.close();

  constructor(
    private readonly metadata: ClusterMetadata,
    private readonly options: ProducerOptions,
  ) {
    this.#appendMs = options.appendMs ?? 30_000;
    this.#channel = options.channel ?? 'produce';
    this.#pending = new PendingAppends(metadata.parts.clock);
    const { unknownMs = 600_000 } = options;
    const offer = (queue: PartitionQueue): void => this.#offer(queue);
    this.#outcomes = new BatchOutcomes({ metadata, pending: this.#pending, unknownMs, offer });
    const { signal: closing } = this.#closing;
    this.#leaderSearch = new LeaderSearch(metadata, (queue) => this.#offerAgain(queue), closing);
    const ready = (): void => this.#unidentified.splice(0).forEach((queue) => this.#offerAgain(queue));
    const refused = (error: KafkaError): void =>
      this.#unidentified.splice(0).forEach((queue) => this.#outcomes.abandonAll(queue, error));
    this.#producerId = options.idempotent ? new ProducerId({ metadata, ready, refused, closing }) : undefined;
    this.#sweep = every(metadata.parts.clock, sweepIntervalMs, () => this.#sweepOver());
    this.#unwatch = metadata.watch(() => this.#followLeaders());
  }

  /**
   * Implements `Log.append`. Resolves when all records are in the log on all in-sync replicas. Rejects with Unreachable
   * after `withinMs`. Records that were not sent by then are never sent. `isImmutable`: see {@link AppendOptions}.
   */
  append(
    topic: string,
    records: readonly Append[],
    withinMs = this.#appendMs,
    isImmutable: AppendOptions['isImmutable'] = false,
  ): Promise<readonly Acknowledged[]> {
    const of = this.#topicOf(topic);
    const { call, landed } = this.#pending.begin(topic, records.length, withinMs);
    try {
      if (this.#isClosed) throw new BusError('Closed', 'the log was closed', { outcome: 'not-sent', sinceMs: 0 });
      const items = this.#pending.itemsOf(call, records, this.#pending.checkRoom(topic, records), isImmutable);
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
      answered: (...how) => this.#outcomes.answered(...how),
      failed: (...how) => this.#outcomes.failed(...how),
    });
    this.#sinks.set(node, made);
    return made;
  }

  #followLeaders(): void {
    for (const sink of this.#sinks.values()) sink.followLeaders();
  }

  #offerAgain(queue: PartitionQueue): void {
    this.#outcomes.expire(queue);
    queue.queued = false;
    this.#offer(queue);
  }

  /**
   * Returns the batch that a queue sends next. Undefined if the queue has none, or waits for a producer id, or if the
   * calls were already rejected by `close`: their records must not be sent after that.
   */
  #next(queue: PartitionQueue): Batch | undefined {
    if (queue.empty || this.#ended) return undefined;
    if (this.#isIdentified(queue)) return this.#outcomes.firstOf(queue);
    queue.queued = true;
    this.#unidentified.push(queue);
    return undefined;
  }
  #isIdentified(queue: PartitionQueue): boolean {
    if (!this.#producerId) return true;
    queue.producer = this.#producerId.stateFor(queue.producer);
    return queue.producer !== undefined;
  }

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
