/** One broker as far as a producer is concerned: the partitions that wait for its next request, and that request. */
import { every } from '../../base/clock';
import type { Via } from '../client/broker-client';
import type { View } from '../cluster/metadata';
import { WireError, wireErrorOf } from '../protocol/errors';
import type { Produced } from '../protocol/types';
import type { Batch, Lane } from './partition-queue';

/** Requests under way at one broker. */
const requestsInFlightMax = 1;
/** A broker that takes longer to answer gets its next request a little later, so that more records share it. */
const fastAnswerMs = 10;
const lingerMsMax = 2;
/** Weight of the newest answer in the mean. */
const newestShare = 1 / 8;
/** Of one request. */
const requestBytesMax = 4 * 1024 * 1024;
const requestLanesMax = 100;
/** A broker waits for its replicas: as long as the cluster takes to notice that one of them is dead. */
const produceMs = 15_000;
/** A request without an answer for so long is looked after: its leader may be another one by now. */
const slowMs = 1_000;

export interface BrokerSinkParts {
  readonly view: View;
  readonly via: Via;
  /** The batch that a lane sends next; undefined if it has none, or may not send it yet. */
  readonly next: (lane: Lane) => Batch | undefined;
  /** Another broker leads the partition of the lane. */
  readonly offer: (lane: Lane) => void;
  /** The lane is not in this request; it may have waited for too long. */
  readonly offerAgain: (lane: Lane) => void;
  /** `token` identifies the request: the lane waits for another one once it was told how this one ended. */
  readonly answered: (node: number, token: object, lane: Lane, batch: Batch, answer: Produced | undefined) => void;
  readonly failed: (node: number, token: object, lane: Lane, batch: Batch, error: WireError) => void;
}

/** One lane's part of a request. */
interface Flight {
  readonly lane: Lane;
  readonly batch: Batch;
}

export class BrokerSink {
  readonly #ready: Lane[] = [];
  #flights = 0;
  #isPlanned = false;
  /** Moving mean of how long the broker takes to answer. */
  #answerMs = 0;

  constructor(
    private readonly node: number,
    private readonly parts: BrokerSinkParts,
  ) {}

  add(lane: Lane): void {
    this.#ready.push(lane);
    this.#plan();
  }

  /** Lanes that wait for a request to a broker that no longer leads them do not wait for the one before it. */
  followLeaders(): void {
    const { view, offerAgain } = this.parts;
    if (this.#ready.every((lane) => view.leader(lane) === this.node)) return;
    for (const lane of this.#ready.splice(0)) offerAgain(lane);
  }

  /** Sends soon: after all that is asked for in this very moment, or a little later when answers are slow. */
  #plan(): void {
    if (this.#isPlanned || this.#flights >= requestsInFlightMax || this.#ready.length === 0) return;
    this.#isPlanned = true;
    const go = (): void => {
      this.#isPlanned = false;
      this.#send();
    };
    const lingerMs = this.#lingerMs;
    // After all promises that can go on now: each of them may have something to send.
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

  /** No answer for long: what has another leader now goes there, with an unknown outcome if it was on its way. */
  async #watch(token: object, flights: readonly Flight[]): Promise<void> {
    const { node } = this;
    const { view, failed, offerAgain } = this.parts;
    await view.refresh();
    for (const { lane, batch } of flights) {
      const leader = view.leader(lane);
      if (leader === undefined || leader === node) continue;
      const said = `broker ${node} did not answer, and broker ${leader} leads now`;
      failed(node, token, lane, batch, new WireError('DEADLINE', said));
    }
    for (const lane of this.#ready.splice(0)) offerAgain(lane);
  }

  get #lingerMs(): number {
    // Of requests and replies one batch is on its way, so what arrives meanwhile shares the next request anyway.
    const isFast = this.parts.via === 'post' || this.#answerMs < fastAnswerMs;
    return isFast ? 0 : Math.min(lingerMsMax, this.#answerMs / fastAnswerMs);
  }
}
