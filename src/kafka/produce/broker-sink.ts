/** Sends the batches of all partitions that one broker leads, together in one Produce request at a time. */
import { every } from '../../base/clock';
import type { Via } from '../client/broker-client';
import type { View } from '../cluster/metadata';
import { WireError, wireErrorOf } from '../protocol/errors';
import type { Produced } from '../protocol/types';
import type { Batch, Lane } from './partition-queue';

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
const requestLanesMax = 100;
/**
 * Timeout of a Produce request. The leader waits for its replicas, for as long as the cluster needs to detect a dead
 * one.
 */
const produceMs = 15_000;
/**
 * Interval at which the metadata is refreshed while a request is unanswered, because its partitions can have a new
 * leader.
 */
const slowMs = 1_000;

export interface BrokerSinkParts {
  readonly view: View;
  readonly via: Via;
  /** Returns the batch that a queue sends next. Undefined if the queue has none, or waits for a producer id. */
  readonly next: (lane: Lane) => Batch | undefined;
  /** Passes the queue to the broker that leads its partition now. */
  readonly offer: (lane: Lane) => void;
  /** Passes on a queue that is not in this request, after its first batch was checked for expiry. */
  readonly offerAgain: (lane: Lane) => void;
  /**
   * Handles the response for one batch. `token` identifies the request: only the first outcome of a request counts for
   * a queue.
   */
  readonly answered: (node: number, token: object, lane: Lane, batch: Batch, answer: Produced | undefined) => void;
  readonly failed: (node: number, token: object, lane: Lane, batch: Batch, error: WireError) => void;
}

/** One partition's batch in a request. */
interface Flight {
  readonly lane: Lane;
  readonly batch: Batch;
}

export class BrokerSink {
  readonly #ready: Lane[] = [];
  #flights = 0;
  #isPlanned = false;
  /** Moving mean of the broker's response time. */
  #answerMs = 0;

  constructor(
    private readonly node: number,
    private readonly parts: BrokerSinkParts,
  ) {}

  add(lane: Lane): void {
    this.#ready.push(lane);
    this.#plan();
  }

  /**
   * Passes on all waiting queues if this broker no longer leads one of them. Otherwise they would wait until its
   * current request ends.
   */
  followLeaders(): void {
    const { view, offerAgain } = this.parts;
    if (this.#ready.every((lane) => view.leader(lane) === this.node)) return;
    for (const lane of this.#ready.splice(0)) offerAgain(lane);
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
    else this.parts.view.parts.clock.after(lingerMs, go);
  }

  #send(): void {
    const flights: Flight[] = [];
    let bytes = 0;
    while (this.#ready.length > 0 && flights.length < requestLanesMax && bytes < requestBytesMax) {
      const lane = this.#ready.shift();
      if (!lane) break;
      lane.queued = false;
      if (this.parts.view.leader(lane) !== this.node) {
        this.parts.offer(lane);
        continue;
      }
      const batch = this.parts.next(lane);
      if (!batch) continue;
      flights.push({ lane, batch });
      bytes += batch.bytes;
    }
    if (flights.length > 0) void this.#fly(flights);
  }

  async #fly(flights: readonly Flight[]): Promise<void> {
    const { answered, failed, view, via } = this.parts;
    const { wire, clock } = view.parts;
    const token = {};
    const sentMs = clock.mono();
    for (const { lane, batch } of flights) {
      lane.flight = token;
      batch.tries++;
      batch.firstSent ??= { monoMs: sentMs, nowMs: clock.now() };
    }
    this.#flights++;
    const watch = every(clock, slowMs, () => void this.#watch(token, flights));
    try {
      const at = { node: this.node, via };
      const asked = flights.map(({ lane, batch }) => ({
        topic: lane.topic,
        partition: lane.partition,
        records: batch.items.map(({ record }) => record),
        ...(lane.producer && { producer: lane.producer }),
      }));
      const answers = await wire.produce(at, asked, produceMs);
      this.#answerMs += (clock.mono() - sentMs - this.#answerMs) * newestShare;
      flights.forEach(({ lane, batch }, i) => answered(this.node, token, lane, batch, answers[i]));
    } catch (error) {
      for (const { lane, batch } of flights) failed(this.node, token, lane, batch, wireErrorOf(error));
    }
    watch.cancel();
    this.#flights--;
    this.#plan();
  }

  /**
   * Refreshes the metadata while a request is unanswered. A batch whose partition has a new leader fails with an
   * unknown outcome, and is then sent to that leader.
   */
  async #watch(token: object, flights: readonly Flight[]): Promise<void> {
    const { node } = this;
    const { view, failed, offerAgain } = this.parts;
    await view.refresh();
    for (const { lane, batch } of flights) {
      const leader = view.leader(lane);
      if (leader === undefined || leader === node) continue;
      const said = `broker ${node} did not respond, and broker ${leader} is the leader now`;
      failed(node, token, lane, batch, new WireError('DEADLINE', said));
    }
    for (const lane of this.#ready.splice(0)) offerAgain(lane);
  }

  get #lingerMs(): number {
    // Requests and replies have one batch in flight, so records that arrive meanwhile share the next request anyway.
    const isFast = this.parts.via === 'post' || this.#answerMs < fastAnswerMs;
    return isFast ? 0 : Math.min(lingerMsMax, this.#answerMs / fastAnswerMs);
  }
}
