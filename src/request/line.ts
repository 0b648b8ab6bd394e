/** The requests of one entry that wait in this instance: in order, within bounds, started as its limits allow. */
import type { Clock, Timer } from '../base/clock';
import { BoundedQueue, type Place } from '../base/bounded';
import { deferred, type Deferred } from '../base/lifecycle';
import { limits } from '../base/limits';
import type { Request } from '../contract/types';
import type { Run } from '../delivery/deliver';
import type { Pace, PaceLimits } from '../delivery/limiter';

/** One request entry as this instance serves it. */
export interface ServedRequest {
  readonly entry: Request;
  readonly run: Run;
  readonly pace: Pace;
}
/** What the line has to know of a request that waits. */
export interface Waiting {
  /** Size of its body as it was received. */
  readonly bytes: number;
  /** Its deadline by the wall clock, in ms since 1970. */
  readonly deadlineMs: number;
  /** Its deadline by the monotonic clock, which goes on as before when the wall clock is set. */
  readonly untilMs: number;
  place: Place<unknown> | undefined;
}
interface LineParts<T> {
  readonly clock: Clock;
  /** Its turn has come. It has left the line. */
  start(request: T): void;
  /** Its deadline passed while it waited. It has left the line. */
  expire(request: T): void;
}

/**
 * A full line is searched for requests whose deadline has passed at most this often. Without the limit each refusal
 * would search all that wait, so that an overloaded instance would stop answering.
 */
const searchIntervalMs = 100;

export class Line<T extends Waiting> {
  readonly waiting = new BoundedQueue<T>({ count: limits.waitingRequestsMax, bytes: limits.waitingBytesMax });
  /** When it was closed, in ms since 1970: nothing is started after that. */
  closedMs: number | undefined;
  #searchedMs = -Infinity;
  #isStarting = false;
  /** Set while the rate does not allow a start. */
  #timer: Timer | undefined;
  #idle: Deferred<void> | undefined;

  constructor(
    readonly served: ServedRequest,
    private readonly parts: LineParts<T>,
  ) {}

  /** A request whose deadline has passed holds no room, so handlers that hang do not close the entry for good. */
  hasRoom(bytes: number): boolean {
    this.dropLate();
    const { capacity } = this.waiting;
    if (capacity.fits(bytes)) return true;
    const monoMs = this.parts.clock.mono();
    if (monoMs - this.#searchedMs < searchIntervalMs) return false;
    this.#searchedMs = monoMs;
    const nowMs = this.parts.clock.now();
    for (const one of this.waiting.items()) if (isLate(one, nowMs, monoMs)) this.#expire(one);
    return capacity.fits(bytes);
  }
  /** Drops the oldest ones, up to the first that still has time; later ones are found by the search of a full line. */
  dropLate(): void {
    for (let one = this.waiting.first; one && this.#isLate(one); one = this.waiting.first) this.#expire(one);
  }

  /** Starts it, or lets it wait for its turn. `hasRoom` has been asked before. */
  take(request: T): void {
    const { pace } = this.served;
    if (pace.mayStart(this.parts.clock.now())) return this.#start(request);
    request.place = this.waiting.push(request, request.bytes);
    this.#wakeWhenPaced();
  }
  /** It does not wait any longer. */
  leave(request: T): void {
    if (request.place) this.waiting.remove(request.place);
  }
  /** A handler has returned. */
  ended(): void {
    const { pace } = this.served;
    pace.ended();
    if (pace.running === 0) this.#idle?.resolve();
    this.next();
  }
  /** Starts what can start now. */
  next(): void {
    if (this.#isStarting) return; // a handler returned without waiting: the loop below goes on
    this.#isStarting = true;
    for (let one = this.waiting.first; one; one = this.waiting.first) {
      if (this.#isLate(one)) this.#expire(one);
      else if (this.served.pace.mayStart(this.parts.clock.now())) this.#start(one);
      else {
        this.#wakeWhenPaced();
        break;
      }
    }
    this.#isStarting = false;
  }
  setLimits(changed: PaceLimits): void {
    this.served.pace.change(changed);
    this.#timer?.cancel(); // it was set for the rate before
    this.#timer = undefined;
    this.next();
  }

  /** Starts nothing from now on, and returns what waited. */
  close(): readonly T[] {
    this.closedMs ??= this.parts.clock.now();
    this.#timer?.cancel();
    const waited = this.waiting.items();
    for (const one of waited) this.leave(one);
    return waited;
  }
  /** Resolves when no handler runs. */
  idle(): Promise<void> {
    if (this.served.pace.running === 0) return Promise.resolve();
    this.#idle ??= deferred<void>();
    return this.#idle.promise;
  }

  #start(request: T): void {
    this.leave(request);
    this.served.pace.started(this.parts.clock.now());
    this.parts.start(request);
  }
  #expire(request: T): void {
    this.leave(request);
    this.parts.expire(request);
  }
  #isLate(request: T): boolean {
    return isLate(request, this.parts.clock.now(), this.parts.clock.mono());
  }
  /** A rate that is used up recovers with time, not when a handler returns, so a timer looks again. */
  #wakeWhenPaced(): void {
    const delayMs = this.served.pace.delayMs(this.parts.clock.now());
    if (delayMs === 0 || this.#timer) return;
    this.#timer = this.parts.clock.after(delayMs, () => {
      this.#timer = undefined;
      this.next();
    });
  }
}

/** Late by either clock counts. */
function isLate({ deadlineMs, untilMs }: Waiting, nowMs: number, monoMs: number): boolean {
  return deadlineMs <= nowMs || untilMs <= monoMs;
}
