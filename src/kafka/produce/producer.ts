/** Writes records to the log: one batch per partition is in flight, resent unchanged until its outcome is known. */
import { every, type Timer } from '../../base/clock';
import { BusError } from '../../base/errors';
import { closable, type Closable } from '../../base/lifecycle';
import type { Append } from '../../ports/log';
import { busErrorOf, WireError } from '../protocol/errors';
import { Calls, type Call, type Item, type Landed } from './pending-appends';
import { failCalls, Lane, sinceSentMs, TopicLanes, type Batch } from './partition-queue';
import { BrokerSink } from './broker-sink';
import { LeaderSearch } from './leader-search';
import { isSequenceError, ProducerId } from './producer-id';
import type { SenderOptions } from './producer-options';
import * as sendable from './append-errors';
import type { TopicShape } from '../cluster/topics';
import { pauseMs, type View } from '../cluster/metadata';
import type { Via } from '../client/broker-client';
import type { Produced } from '../protocol/types';

/** Interval at which appends are checked for their time limit. */
const slowMs = 1_000;
/** Maximum pause before a failed batch is sent again. */
const retryMsMax = 1_000;
/**
 * Time after which a topic that the brokers do not know counts as deleted. A broker that has just started can lack it
 * for a moment.
 */
const topicAbsentMsMax = 5_000;
/** Maximum time for which `close` waits for open appends, so that an unreachable broker does not block the shutdown. */
const closeMs = 2_000;

export class Sender implements Closable {
  readonly #topics = new Map<string, TopicLanes>();
  readonly #sinks = new Map<number, BrokerSink>();
  readonly #leaderSearch: LeaderSearch;
  readonly #producerId: ProducerId | undefined;
  /** Queues that have records to send and wait for a producer id. */
  readonly #unidentified: Lane[] = [];
  readonly #calls: Calls;
  readonly #closing = new AbortController();
  #ended = false;
  readonly #sweep: Timer;
  readonly #unwatch: () => void;
  readonly #appendMs: number;
  readonly #unknownMs: number;
  readonly #via: Via;
  #isClosed = false;
  readonly #closer = closable(() => this.#close());
  readonly close = (): Promise<void> => this.#closer.close();

  constructor(
    private readonly view: View,
    private readonly options: SenderOptions,
  ) {
    this.#appendMs = options.appendMs ?? 30_000;
    this.#unknownMs = options.unknownMs ?? 600_000;
    this.#via = options.via ?? 'produce';
    this.#calls = new Calls(view.parts.clock);
    const { signal: closing } = this.#closing;
    this.#leaderSearch = new LeaderSearch(view, (lane) => this.#offerAgain(lane), closing);
    const ready = (): void => this.#unidentified.splice(0).forEach((lane) => this.#offerAgain(lane));
    const refused = (error: WireError): void =>
      this.#unidentified.splice(0).forEach((lane) => this.#abandonAll(lane, error));
    this.#producerId = options.idempotent ? new ProducerId({ view, ready, refused, closing }) : undefined;
    this.#sweep = every(view.parts.clock, slowMs, () => this.#sweepOver());
    this.#unwatch = view.watch(() => this.#followLeaders());
  }

  /**
   * Implements `Log.append`. Resolves when all records are in the log on all in-sync replicas. Rejects with Unreachable
   * after `withinMs`. Records that were not sent by then are never sent.
   */
  append(topic: string, records: readonly Append[], withinMs = this.#appendMs): Promise<readonly Landed[]> {
    const of = this.#topicOf(topic);
    const { call, landed } = this.#calls.begin(topic, records.length, withinMs);
    try {
      if (this.#isClosed) throw new BusError('Closed', 'the log was closed', { outcome: 'not-sent', sinceMs: 0 });
      const items = this.#calls.itemsOf(call, records, this.#calls.checkRoom(topic, records));
      const shape = of.shapeFor(items, this.view.parts.clock.mono());
      if (shape) this.#enqueue(of, shape, call, items);
      else void this.#enqueueLater(topic, of, call, items);
    } catch (error) {
      call.fail(error);
    }
    return landed;
  }

  #topicOf(topic: string): TopicLanes {
    const of = this.#topics.get(topic) ?? new TopicLanes();
    this.#topics.set(topic, of);
    return of;
  }

  /** Holds a call until the shape of its topic is known. Later calls for the topic wait behind it, in order. */
  async #enqueueLater(topic: string, of: TopicLanes, call: Call, items: readonly Item[]): Promise<void> {
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

  #enqueue(of: TopicLanes, shape: TopicShape, call: Call, items: readonly Item[]): void {
    try {
      for (const { record } of items) sendable.checkRecord(call.topic, shape, record);
    } catch (error) {
      return this.#refuse(call, items, error);
    }
    if (items.length === 0) call.done();
    for (const item of items) {
      const { partition } = item.record;
      const lane = (of.lanes[partition] ??= new Lane(call.topic, partition));
      lane.add(item);
      this.#offer(lane);
    }
  }

  #refuse(call: Call, items: readonly Item[], error: unknown): void {
    for (const item of items) this.#calls.free(item);
    call.fail(error);
  }

  /** Adds a queue to its leader's next request, if it has records and is neither waiting, in flight nor pausing. */
  #offer(lane: Lane): void {
    if (lane.queued || lane.flight || lane.resting || lane.empty || this.#ended) return;
    lane.queued = true;
    const node = this.view.leader(lane);
    if (node === undefined) {
      this.#leaderSearch.add(lane);
      return;
    }
    this.#sinkOf(node).add(lane);
  }

  #sinkOf(node: number): BrokerSink {
    const found = this.#sinks.get(node);
    if (found) return found;
    const made = new BrokerSink(node, {
      view: this.view,
      via: this.#via,
      next: (lane) => this.#next(lane),
      offer: (lane) => this.#offer(lane),
      offerAgain: (lane) => this.#offerAgain(lane),
      answered: (...how) => this.#answered(...how),
      failed: (...how) => this.#failed(...how),
    });
    this.#sinks.set(node, made);
    return made;
  }

  #followLeaders(): void {
    for (const sink of this.#sinks.values()) sink.followLeaders();
  }

  #offerAgain(lane: Lane): void {
    this.#expire(lane);
    lane.queued = false;
    this.#offer(lane);
  }

  /**
   * Returns the batch that a queue sends next. Undefined if the queue has none, or waits for a producer id, or if the
   * calls were already rejected by `close`: their records must not be sent after that.
   */
  #next(lane: Lane): Batch | undefined {
    if (lane.empty || this.#ended) return undefined;
    if (this.#isIdentified(lane)) return this.#firstOf(lane);
    lane.queued = true;
    this.#unidentified.push(lane);
    return undefined;
  }
  #isIdentified(lane: Lane): boolean {
    if (!this.#producerId) return true;
    lane.producer = this.#producerId.stateFor(lane.producer);
    return lane.producer !== undefined;
  }

  #answered(node: number, token: object, lane: Lane, batch: Batch, answer: Produced | undefined): void {
    if (!answer || answer.error !== null || answer.offset < 0) {
      const error = answer?.error ?? new WireError('UNVERIFIED', `the response does not contain ${lane.name}`);
      return this.#failed(node, token, lane, batch, error, answer?.refused);
    }
    if (lane.flight !== token) return;
    lane.flight = undefined;
    lane.acknowledged();
    batch.items.forEach((item, i) => {
      this.#calls.free(item);
      item.call.land(item.index, { partition: lane.partition, offset: answer.offset + i, timeMs: answer.timeMs });
    });
    this.view.writes.taken(lane.topic);
    this.#offer(lane);
  }

  #failed(
    node: number,
    token: object,
    lane: Lane,
    batch: Batch,
    error: WireError,
    refused: Produced['refused'] = [],
  ): void {
    if (lane.flight !== token) return; // this request already has an outcome
    lane.flight = undefined;
    batch.trouble = error.message;
    if (error.uncertain) batch.uncertain = true;
    if (error.fatal) this.view.writes.refused(lane.topic, error);
    if (error.fatal || error.code === 'CLOSED') return this.#abandon(lane, batch, error);
    if (error.step === 'refused') return this.#refused(lane, batch, error, refused);
    // The broker would have recognized a copy, so the log has lost records of this producer that it acknowledged
    // before.
    if (isSequenceError(error)) lane.restart();
    if (error.step === 'leader') {
      this.view.doubt(lane, node);
      void this.view.refresh();
    }
    this.#expire(lane);
    const waitMs = pauseMs(this.view.parts.random, batch.tries - 1, retryMsMax);
    lane.resting = this.view.parts.clock.after(waitMs, () => {
      lane.resting = undefined;
      this.#offer(lane);
    });
  }

  /**
   * Rejects the records that the broker names, or halves the batch to find them. The other records keep their order. A
   * batch that can have been written is abandoned instead, because its parts could be written a second time.
   */
  #refused(lane: Lane, batch: Batch, error: WireError, refused: Produced['refused']): void {
    if (batch.uncertain) return this.#abandon(lane, batch, error);
    const { items } = batch;
    const reasons = sendable.reasonsByIndex(items.length, refused, error);
    if (reasons.size === 0) {
      const half = items.length >> 1;
      lane.replaceFirst([items.slice(0, half), items.slice(half)]);
    } else {
      lane.replaceFirst([items.filter((_, i) => !reasons.has(i))]);
      for (const [index, reason] of reasons) {
        const item = items[index];
        if (!item) continue;
        this.#calls.free(item);
        item.call.refuse(item.index, sendable.refusal(lane.name, item.bytes, error, reason));
      }
    }
    this.#offer(lane);
  }

  /** Removes a batch, which is not sent again. Its calls fail with the error, or with an unknown outcome. */
  #abandon(lane: Lane, batch: Batch, error: WireError): void {
    lane.giveUp();
    const told = this.#toldOf(batch, error, lane.name);
    for (const item of batch.items) this.#calls.free(item);
    failCalls(batch, told);
    this.#offer(lane);
  }

  #abandonAll(lane: Lane, error: WireError): void {
    for (let first = this.#firstOf(lane); first; first = this.#firstOf(lane)) this.#abandon(lane, first, error);
    lane.queued = false;
  }

  /**
   * Returns the error for the calls of a batch. If the batch can have been written before, a later error does not
   * change that its outcome is unknown.
   */
  #toldOf(batch: Batch, error: WireError, lane: string): BusError {
    const { items, uncertain } = batch;
    const waitedMs = Math.round(sinceSentMs(batch, this.view.parts.clock));
    if (!uncertain) return busErrorOf(error, lane, waitedMs, this.view.parts.user);
    return sendable.unknownOutcome(items[0]?.call.topic ?? '', waitedMs, error.message);
  }

  /** Gives up the first batch if its outcome has been unknown for too long, and all records of a deleted topic. */
  #expire(lane: Lane): void {
    const { batch, flight } = lane;
    if (flight) return;
    const sinceMs = batch ? sinceSentMs(batch, this.view.parts.clock) : 0;
    if (this.view.absentMs(lane.topic) > topicAbsentMsMax) {
      const reason = this.view.whyLeaderless(lane.topic);
      for (let first = this.#firstOf(lane); first; first = this.#firstOf(lane)) this.#giveUp(lane, first, reason);
    } else if (batch && sinceMs >= this.#unknownMs)
      this.#giveUp(lane, batch, `no outcome for ${Math.round(sinceMs)} ms: ${batch.trouble}`);
  }
  #giveUp(lane: Lane, batch: Batch, reason: string): void {
    const what = `${batch.items.length} records for ${lane.name}`;
    this.view.parts.notices.tell({ type: 'dropped', what, reason });
    this.#abandon(lane, batch, new WireError('DEADLINE', reason, { sent: batch.uncertain }));
  }
  #firstOf = (lane: Lane): Batch | undefined => lane.first((item) => this.#calls.free(item));

  /** Rejects overdue appends. Their records stay in the queue if they can have been written. */
  #sweepOver(): void {
    const overdue = this.#calls.overdue();
    if (overdue.length === 0) return;
    const sent = this.#sentCalls();
    const causes = new Map<string, string>();
    for (const call of overdue) {
      const cause = causes.get(call.topic) ?? this.#troubleOf(call.topic);
      causes.set(call.topic, cause);
      call.fail(gaveUp(call, call.withinMs, cause, sent));
    }
    for (const { lanes } of this.#topics.values()) {
      lanes.forEach((lane) => lane.dropOver((item) => this.#calls.free(item)));
    }
  }

  /**
   * Returns the calls of which a record can have been sent or will be sent. One pass over the records of all queues
   * serves all calls that end together: a pass per call blocks the event loop for seconds during an outage.
   */
  #sentCalls(): ReadonlySet<Call> {
    const sent = new Set<Call>();
    for (const { lanes } of this.#topics.values()) lanes.forEach((lane) => lane.addSent(sent));
    return sent;
  }

  #troubleOf(topic: string): string {
    if (this.view.absentMs(topic) > 0) return this.view.whyLeaderless(topic);
    const trouble = this.#topics.get(topic)?.trouble ?? this.#producerId?.failure;
    return trouble ?? 'the partition has no leader, or its leader does not respond';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    const { clock } = this.view.parts;
    await this.#calls.runOut(closeMs);
    this.#ended = true;
    this.#closing.abort();
    this.#sweep.cancel();
    this.#unwatch();
    const cause = 'the log was closed while it was being written';
    const sent = this.#sentCalls();
    for (const call of this.#calls.all()) call.fail(gaveUp(call, clock.mono() - call.begunMs, cause, sent));
    for (const { lanes } of this.#topics.values()) lanes.forEach((lane) => lane.resting?.cancel());
  }
}

/**
 * Returns the error of an append that ends early. It is "not written" if no record was sent, because its waiting
 * records are dropped.
 */
function gaveUp(call: Call, waitedMs: number, cause: string, sent: ReadonlySet<Call>): BusError {
  const isUncertain = call.landed || sent.has(call);
  return (isUncertain ? sendable.unknownOutcome : sendable.notWritten)(call.topic, waitedMs, cause);
}
