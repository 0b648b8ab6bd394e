/** One broker as far as a sender is concerned: the lanes that wait for its next request, and how fast it answers. */
import type { Lane } from './partition-queue';
import type { Via } from '../client/broker-client';

/** Requests under way at one broker. */
const requestsInFlightMax = 1;
/** A broker that takes longer to answer gets its next request a little later, so that more records share it. */
const fastAnswerMs = 10;
const lingerMsMax = 2;
/** Weight of the newest answer in the mean. */
const newestShare = 1 / 8;

export class Leader {
  readonly ready: Lane[] = [];
  flights = 0;
  planned = false;
  /** Moving mean. */
  #answerMs = 0;

  constructor(readonly node: number) {}

  get maySend(): boolean {
    return !this.planned && this.flights < requestsInFlightMax && this.ready.length > 0;
  }

  answered(tookMs: number): void {
    this.#answerMs += (tookMs - this.#answerMs) * newestShare;
  }

  lingerMs(via: Via): number {
    // Of requests and replies one batch is on its way, so what arrives meanwhile shares the next request anyway.
    const isFast = via === 'post' || this.#answerMs < fastAnswerMs;
    return isFast ? 0 : Math.min(lingerMsMax, this.#answerMs / fastAnswerMs);
  }
}
