/**
 * Puts records into the log: what waits goes together, one batch of a partition at a time, the same one until it is
 * known.
 */
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

/** A request without an answer for so long is looked after: its leader may be another one by now. */
const slowMs = 1_000;
const retryMsMax = 1_000;
/** A topic unknown to the brokers for this long was deleted. One that has just started can lack it for a moment. */
const topicAbsentMsMax = 5_000;
/** How long closing waits for what is under way. */
const closeMs = 2_000;

export class Sender implements Closable {
  readonly #topics = new Map<string, TopicLanes>();
  readonly #sinks = new Map<number, BrokerSink>();
  readonly #leaderSearch: LeaderSearch;
  readonly #producerId: ProducerId | undefined;
  /** Lanes that have something to send and wait for a producer id. */
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
   * See `Log.append`. Resolves when all of it is in the log on all in-sync replicas; rejects with Unreachable after
   * `withinMs`, and what was not sent by then never is.
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

  /** The first call for a topic waits until it is known what the topic is, and those that follow wait behind it. */
  async #enqueueLater(topic: string, of: TopicLanes, call: Call, items: readonly Item[]): Promise<void> {
    of.waiting.push({ call, items });
    if (of.waiting.length > 1) return;
    this.#producerId?.stateFor(undefined); // so that it is requested meanwhile
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

  /** Lets a lane wait for its leader's next request, if it has something to send and may. */
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

  /** The batch that a lane sends next; undefined if it has none, or waits for a producer id. */
  #next(lane: Lane): Batch | undefined {
    if (lane.empty) return undefined;
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
      const error = answer?.error ?? new WireError('UNVERIFIED', `${lane.name} is not named in the answer`);
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
    if (lane.flight !== token) return; // it was told before
    lane.flight = undefined;
    batch.trouble = error.message;
    if (error.uncertain) batch.uncertain = true;
    if (error.fatal) this.view.writes.refused(lane.topic, error);
    if (error.fatal || error.code === 'CLOSED') return this.#abandon(lane, batch, error);
    if (error.step === 'refused') return this.#refused(lane, batch, error, refused);
    // A copy of it would have been recognized: the log has lost what it acknowledged before.
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
   * Finds the records that the broker refuses, named by it or by halving the batch; the others go on in their order.
   * If the batch may have been written before the refusal, parts of it would be written a second time.
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

  /** It is not sent again. Who waits for it hears why, or that nobody knows. */
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

  /** Of a batch that may have been written before nothing else is known, whatever is said of it now. */
  #toldOf(batch: Batch, error: WireError, lane: string): BusError {
    const { items, uncertain } = batch;
    const waitedMs = Math.round(sinceSentMs(batch, this.view.parts.clock));
    if (!uncertain) return busErrorOf(error, lane, waitedMs, this.view.parts.user);
    return sendable.unknownOutcome(items[0]?.call.topic ?? '', waitedMs, error.message);
  }

  /** Gives up the first batch when its outcome has been unknown for too long, and all records of a deleted topic. */
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

  /** Tells those who have waited too long. Their records keep their place if they may have been written. */
  #sweepOver(): void {
    const overdue = this.#calls.overdue();
    for (const call of overdue) call.fail(this.#gaveUp(call, call.withinMs, this.#troubleOf(call.topic)));
    if (overdue.length === 0) return;
    for (const { lanes } of this.#topics.values()) {
      lanes.forEach((lane) => lane.dropOver((item) => this.#calls.free(item)));
    }
  }

  /** Not written where no record of it was ever sent: what is left of it in the lanes is dropped. */
  #gaveUp(call: Call, waitedMs: number, cause: string): BusError {
    const isUncertain = call.landed || this.#topics.get(call.topic)?.lanes.some((lane) => lane.maySend(call));
    return (isUncertain ? sendable.unknownOutcome : sendable.notWritten)(call.topic, waitedMs, cause);
  }

  #troubleOf(topic: string): string {
    if (this.view.absentMs(topic) > 0) return this.view.whyLeaderless(topic);
    const trouble = this.#topics.get(topic)?.trouble ?? this.#producerId?.failure;
    return trouble ?? 'no broker leads the partition, or its leader does not answer';
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
    for (const call of this.#calls.all()) call.fail(this.#gaveUp(call, clock.mono() - call.begunMs, cause));
    for (const { lanes } of this.#topics.values()) lanes.forEach((lane) => lane.resting?.cancel());
  }
}
