/** Decides which message of a queue starts next and when: lane order, limits, bursts, and messages that run alone. */
import type { Clock, Timer } from '../../base/clock';
import type { Item } from '../message';
import { Fifo } from './fifo';
import type { Lanes } from './lane';

/** The part of a message that the scheduler reads. */
export interface Candidate extends Item {
  /** Number of attempts that have ended or were interrupted. */
  readonly attempts: number;
  /** True when the last attempt was running in a process that died. */
  readonly interrupted: boolean;
}

export interface SchedulerParts<T extends Candidate> {
  readonly clock: Clock;
  readonly lanes: Lanes<T>;
  /** Maximum time that a message which must run alone waits for running handlers, and other messages wait for it. */
  readonly handoverMs: number;
  /** Returns the maximum number of attempts of a message. */
  attemptsMax(message: T): number;
  /** Returns false when the partition of a chosen message was lost or is being revoked. */
  mayRun(message: T): boolean;
  /** Returns true while any handler runs, including handlers whose partition was lost or revoked. */
  runsAny(): boolean;
  /** Starts a message. Its handler is called now, or after `recorded`. */
  start(message: T): void;
  /** Calls the handler of a message that the log has recorded as started. */
  startRecorded(message: T): void;
  /** Called when more messages could run. */
  readMore(): void;
}

/** Maximum time of starting messages without a turn of the event loop, so that sockets and leases are not delayed. */
const burstMs = 10;
/** Number of crashes that count for every message that was running. After them a message runs alone. */
const blamedTogether = 2;

/** A message that runs alone. Until `untilMs` it waits for running handlers, and then other messages wait for it. */
interface SoloRun<T> {
  readonly message: T;
  readonly started: boolean;
  readonly untilMs: number;
}

export class Scheduler<T extends Candidate> {
  /** Started messages that the log has recorded. Their handlers are called next. */
  readonly #recorded = new Fifo<T>();
  #alone: SoloRun<T> | undefined;
  #wake: Timer | undefined;
  #wakeAtMs = Infinity;
  #pumping = false;
  #yielding = false;
  /** Time when this turn of the event loop started its first message. Undefined while it has started none. */
  #turnMs: number | undefined;

  constructor(private readonly parts: SchedulerParts<T>) {}

  /** True when a long burst waits for the next turn of the event loop. */
  get isYielding(): boolean {
    return this.#yielding;
  }

  /** Starts every message that can start now, and sets a timer for the next one that can start later. */
  pump(): void {
    if (this.#pumping || this.#yielding) return; // the call or timer in progress checks again
    this.#pumping = true;
    const { clock, lanes } = this.parts;
    const nowMs = clock.mono();
    while (!this.#yielding) {
      const recorded = this.#recorded.shift();
      if (recorded && !this.parts.mayRun(recorded)) {
        this.done(recorded);
        continue;
      }
      const message = recorded ?? this.#next(nowMs);
      if (!message) break;
      this.#turnMs ??= this.#turn(nowMs);
      if (recorded) this.parts.startRecorded(message);
      else this.parts.start(message);
      this.#yielding = clock.mono() - this.#turnMs >= burstMs;
    }
    this.#pumping = false;
    if (this.#yielding) return;
    this.#wakeIn(this.#alone ? this.#alone.untilMs - nowMs : lanes.wakeMs(nowMs), nowMs);
    if (lanes.idle) this.parts.readMore();
  }

  /** Calls the handler of a started message with `startRecorded`, as soon as its turn comes. */
  recorded(message: T): void {
    this.#recorded.push(message);
    this.pump();
  }

  /** Called when a handler has ended: other messages no longer wait for it. */
  ended(message: T): void {
    if (this.#alone?.message === message) this.#alone = undefined;
  }

  /** Ends a message that is settled, or that this instance no longer owns. Its lane continues. */
  done(message: T): void {
    this.parts.lanes.done(message);
    this.ended(message);
    this.pump();
  }

  /** Offers an ended message again after a delay. Until then its lane waits ('in-order') or continues ('aside'). */
  retry(message: T, delayMs: number, how: 'in-order' | 'aside'): void {
    this.parts.lanes.again(message, this.parts.clock.mono() + delayMs, how);
    this.pump();
  }

  /** Called when a partition is no longer owned, since the message that runs alone can be one of it. */
  partitionLeft(): void {
    if (this.#alone) this.pump();
  }

  /** Cancels the timer. */
  end(): void {
    this.#wake?.cancel();
  }

  /** Returns the next message to start. A message that must run alone first waits for the running handlers. */
  #next(nowMs: number): T | undefined {
    while (!this.#alone) {
      const message = this.parts.lanes.next(nowMs);
      if (!message || !this.#isSuspect(message)) return message;
      this.#alone = { message, started: false, untilMs: nowMs + this.parts.handoverMs };
    }
    const { message, started, untilMs } = this.#alone;
    if (!started && !this.parts.mayRun(message)) this.done(message);
    else if (!started && (nowMs >= untilMs || !this.parts.runsAny())) {
      this.#alone = { message, started: true, untilMs: nowMs + this.parts.handoverMs };
      return message;
    } else if (!started || nowMs < untilMs) return undefined;
    this.#alone = undefined;
    return this.#next(nowMs);
  }

  /**
   * Returns true when the message was running in processes that died. It then runs alone, so that a further crash can
   * be attributed to it.
   */
  #isSuspect(message: T): boolean {
    if (!message.interrupted) return false;
    const attempts = this.parts.attemptsMax(message);
    return message.attempts < attempts && message.attempts >= Math.min(blamedTogether, attempts - 1);
  }

  /** Ends a burst in the next turn of the event loop. Synchronous handlers would otherwise block everything else. */
  #turn(nowMs: number): number {
    this.parts.clock.after(0, () => {
      this.#turnMs = undefined;
      if (!this.#yielding) return;
      this.#yielding = false;
      this.pump();
    });
    return nowMs;
  }

  #wakeIn(delayMs: number | undefined, nowMs: number): void {
    if (delayMs === undefined) return;
    const atMs = nowMs + delayMs;
    if (this.#wakeAtMs <= atMs) return; // the earlier timer checks again
    this.#wake?.cancel();
    this.#wakeAtMs = atMs;
    this.#wake = this.parts.clock.after(delayMs, () => {
      this.#wakeAtMs = Infinity;
      this.pump();
    });
  }
}
