/**
 * Measures how many messages a queue receives and settles at this instance, and detects when it grows or is stuck.
 * These conditions begin after they have held for 10 s, and end 30 s after they last held, so that a status that is
 * read at any moment does not alternate.
 */
import type { Clock, Timer } from '../../base/clock';
import { every } from '../../base/clock';
import type { Log } from '../../ports/log';
import type { Condition, QueueLoad } from '../types';

/** Interval between two samples, in ms. It is a multiple of the longest delay of a commit. */
const sampleMs = 5_000;
/** Number of samples that the counts cover: a minute. */
const samplesMax = 12;
/** Consecutive samples in which a queue must grow before it counts as growing: 10 s. */
const growsMin = 2;
/** Number of samples of the last minute in which a queue that grows slowly must grow. */
const slowGrowsMin = 8;
/** Time without a settled message after which a queue with waiting messages is stuck, in ms. */
const stuckAfterMs = 30_000;
/** Multiple of the usual handler time after which it is stuck, so that a queue of slow handlers is not. */
const stuckAfterHandlers = 3;
/** Time after which a condition that no longer holds ends, in ms. */
const endsAfterMs = 30_000;

export interface LoadParts {
  readonly clock: Clock;
  readonly log: Pick<Log, 'bounds'>;
  readonly topic: string;
  /** Returns the partitions that this instance owns, each with the offset that it reads next. */
  partitions(): Iterable<{ readonly number: number; readonly next: number }>;
  /** Returns the state of the queue now. */
  state(): LoadState;
}
export interface LoadState {
  /** Messages in memory that neither run nor wait for another attempt. The log can have more only if it is not 0. */
  readonly waiting: number;
  readonly inBackoff: number;
  /** Messages that were settled since the queue is consumed: handled or parked. */
  readonly settled: number;
  /** Share of the records of the topic that belong to the queue: below 1 for a listener. */
  readonly share: number;
  /** True if an entry is paused or not served here. Its messages then wait although the rest is healthy. */
  readonly isHeld: boolean;
  /** 99th percentile of the durations of its handlers, in ms; 0 when none has ended. */
  readonly handlerMs: number;
}
/** Messages of one interval. */
interface Sample {
  readonly in: number;
  readonly out: number;
  readonly ms: number;
}

export class Load {
  /** End of each partition at the last sample: what was read, or the end of the log while messages wait. */
  #ends = new Map<number, number>();
  readonly #samples: Sample[] = [];
  #sampledMs: number;
  #settled = 0;
  /** Last time at which a message was settled or none waited. */
  #movedMs: number;
  #growing: Condition | null = null;
  #stuck: Condition | null = null;
  #isSampling = false;
  readonly #timer: Timer;

  constructor(private readonly parts: LoadParts) {
    this.#sampledMs = parts.clock.now();
    this.#movedMs = this.#sampledMs;
    this.#timer = every(parts.clock, sampleMs, () => void this.#sample());
  }

  end(): void {
    this.#timer.cancel();
  }

  /** Returns the counts of the last minute. */
  read(): QueueLoad {
    const nowMs = this.parts.clock.now();
    const current = this.#since(new Map(this.#local()), nowMs);
    // While messages wait in the log, the ones that arrived in the interval that has just begun are not known.
    const isKnown = this.parts.state().waiting === 0 || this.#samples.length === 0;
    const all = isKnown ? [...this.#samples, current] : this.#samples;
    return {
      windowMs: sum(all, ({ ms }) => ms),
      in: Math.round(sum(all, (one) => one.in)),
      out: sum(all, (one) => one.out),
      growing: lasting(this.#growing, nowMs),
      stuck: lasting(this.#stuck, nowMs),
    };
  }

  async #sample(): Promise<void> {
    if (this.#isSampling) return; // the log has not answered yet
    this.#isSampling = true;
    const ends = await this.#endsNow();
    this.#isSampling = false;
    const nowMs = this.parts.clock.now();
    const { settled, waiting, inBackoff, isHeld } = this.parts.state();
    if (this.#ends.size > 0) this.#samples.push(this.#since(ends, nowMs));
    if (this.#samples.length > samplesMax) this.#samples.shift();
    if (settled > this.#settled || waiting + inBackoff === 0 || isHeld) this.#movedMs = nowMs;
    this.#ends = ends;
    this.#settled = settled;
    this.#sampledMs = nowMs;
    this.#judge(nowMs, waiting);
  }

  #judge(nowMs: number, waiting: number): void {
    const growing = waiting > 0 && this.#grows();
    this.#growing = next(this.#growing, growing, nowMs, nowMs - growsMin * sampleMs);
    const stuckMs = Math.max(stuckAfterMs, stuckAfterHandlers * this.parts.state().handlerMs);
    this.#stuck = next(this.#stuck, nowMs - this.#movedMs >= stuckMs, nowMs, this.#movedMs);
  }
  /** Returns true when clearly more messages arrived than were settled: in each of the last samples, or in most. */
  #grows(): boolean {
    const last = this.#samples.slice(-growsMin);
    if (last.length === growsMin && last.every(isMore)) return true;
    const rises = (one: Sample): boolean => one.in > one.out;
    const isSteady = last.some(rises) && this.#samples.filter(rises).length >= slowGrowsMin;
    return isSteady && isMore(total(this.#samples));
  }

  #since(ends: ReadonlyMap<number, number>, nowMs: number): Sample {
    const { settled, share } = this.parts.state();
    if (this.#ends.size === 0) return { in: 0, out: 0, ms: 0 }; // the ends at the start of the interval are unknown
    let arrived = 0;
    for (const [partition, end] of ends) arrived += Math.max(0, end - (this.#ends.get(partition) ?? end));
    return { in: arrived * share, out: settled - this.#settled, ms: nowMs - this.#sampledMs };
  }

  /** Returns the ends of the partitions that this instance owns. The log is read only while messages wait. */
  async #endsNow(): Promise<Map<number, number>> {
    const local = new Map(this.#local());
    if (this.parts.state().waiting === 0 || local.size === 0) return local;
    try {
      for (const { partition, end } of await this.parts.log.bounds(this.parts.topic)) {
        if (local.has(partition)) local.set(partition, Math.max(end, local.get(partition) ?? end));
      }
    } catch {
      return local; // the log does not answer, which the reader of the partition reports
    }
    return local;
  }
  *#local(): Generator<[number, number]> {
    for (const { number, next: offset } of this.parts.partitions()) {
      yield [number, Math.max(offset, this.#ends.get(number) ?? offset)];
    }
  }
}

/** Returns true when the difference is larger than chance explains: two standard deviations of both counts. */
function isMore({ in: arrived, out }: Sample): boolean {
  return arrived - out > 2 * Math.sqrt(arrived + out);
}
function total(samples: readonly Sample[]): Sample {
  return {
    in: sum(samples, (one) => one.in),
    out: sum(samples, (one) => one.out),
    ms: sum(samples, ({ ms }) => ms),
  };
}
function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((result, one) => result + of(one), 0);
}

function next(before: Condition | null, holds: boolean, nowMs: number, sinceMs: number): Condition | null {
  const last = lasting(before, nowMs);
  return holds ? { sinceMs: last?.sinceMs ?? sinceMs, heldMs: nowMs } : last;
}
function lasting(condition: Condition | null, nowMs: number): Condition | null {
  return condition && nowMs - condition.heldMs < endsAfterMs + sampleMs ? condition : null;
}
