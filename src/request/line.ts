/** Queue of the waiting requests of one entry: in order, within bounds, and started as the entry's limits allow. */
import type { Clock, Timer } from '../base/clock';
import { BoundedQueue, type Place } from '../base/bounded';
import { deferred, type Deferred } from '../base/lifecycle';
import { limits } from '../base/limits';
import type { Request } from '../contract/types';
import type { Run } from '../delivery/deliver';
import type { HandlerLimits, Limiter, LimiterLimits } from '../delivery/limiter';

/** One request entry as this instance serves it. */
export interface ServedRequest {
  readonly entry: Request;
  readonly run: Run;
  readonly limiter: Limiter;
}
/** Fields of a request that its queue needs while the request waits. */
export interface Waiting {
  /** Size of the received body, in bytes. */
  readonly bytes: number;
  /** Deadline by the wall clock, in ms since 1970. */
  readonly deadlineMs: number;
  /** Deadline by the monotonic clock, which does not change when the wall clock is set. */
  readonly untilMs: number;
  place: Place<unknown> | undefined;
}
interface LineParts<T> {
  readonly clock: Clock;
  /** Starts a request, which has already left the queue. */
  start(request: T): void;
  /** Ends a request whose deadline passed while it waited. It has already left the queue. */
  expire(request: T): void;
}

/**
 * Minimum interval between two searches of a full queue for requests whose deadline has passed. Without it each refusal
 * would search all waiting requests, so that an overloaded instance would stop answering.
 */
const searchIntervalMs = 100;

export class Line<T extends Waiting> {
  readonly waiting = new BoundedQueue<T>({ count: limits.waitingRequestsMax, bytes: limits.waitingBytesMax });
  /** Time of the close, in ms since 1970. No request is started after it. */
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

  /**
   * Returns true when another request fits. Requests whose deadline has passed are removed first. Handlers that hang
   * therefore do not block the entry for good.
   */
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
  /**
   * Drops expired requests at the head of the queue. Expired ones further back are found by the search of a full queue.
   */
  dropLate(): void {
    for (let one = this.waiting.first; one && this.#isLate(one); one = this.waiting.first) this.#expire(one);
  }

  /** Starts the request, or queues it. The caller has already checked `hasRoom`. */
  take(request: T): void {
    const { limiter } = this.served;
    if (limiter.mayStart(this.parts.clock.now())) return this.#start(request);
    request.place = this.waiting.push(request, request.bytes);
    this.#wakeWhenPaced();
  }
  /** Removes a request from the queue. */
  leave(request: T): void {
    if (request.place) this.waiting.remove(request.place);
  }
  /** Handles the return of a handler, and starts the next requests. */
  ended(): void {
    const { limiter } = this.served;
    limiter.ended();
    if (limiter.running === 0) this.#idle?.resolve();
    this.next();
  }
  /** Starts the requests that the limits allow now. */
  next(): void {
    if (this.#isStarting) return; // a handler returned synchronously; the loop below continues
    this.#isStarting = true;
    for (let one = this.waiting.first; one; one = this.waiting.first) {
      if (this.#isLate(one)) this.#expire(one);
      else if (this.served.limiter.mayStart(this.parts.clock.now())) this.#start(one);
      else {
        this.#wakeWhenPaced();
        break;
      }
    }
    this.#isStarting = false;
  }
  get limits(): HandlerLimits {
    const { entry, limiter } = this.served;
    const { running, concurrency, perSecond } = limiter;
    return { entry: entry.name, running, concurrency, perSecond: perSecond === Infinity ? null : perSecond };
  }
  setLimits(changed: LimiterLimits): void {
    this.served.limiter.change(changed);
    this.#timer?.cancel(); // it was set for the previous rate
    this.#timer = undefined;
    this.next();
  }

  /** Closes the queue: no request starts from now on. Returns the requests that waited. */
  close(): readonly T[] {
    this.closedMs ??= this.parts.clock.now();
    this.#timer?.cancel();
    const waited = this.waiting.items();
    for (const one of waited) this.leave(one);
    return waited;
  }
  /** Resolves when no handler runs. */
  idle(): Promise<void> {
    if (this.served.limiter.running === 0) return Promise.resolve();
    this.#idle ??= deferred<void>();
    return this.#idle.promise;
  }

  #start(request: T): void {
    this.leave(request);
    this.served.limiter.started(this.parts.clock.now());
    this.parts.start(request);
  }
  #expire(request: T): void {
    this.leave(request);
    this.parts.expire(request);
  }
  #isLate(request: T): boolean {
    return isLate(request, this.parts.clock.now(), this.parts.clock.mono());
  }
  /**
   * Sets a timer for the next start that the rate allows. A used-up rate recovers with time, not when a handler
   * returns.
   */
  #wakeWhenPaced(): void {
    const delayMs = this.served.limiter.delayMs(this.parts.clock.now());
    if (delayMs === 0 || this.#timer) return;
    this.#timer = this.parts.clock.after(delayMs, () => {
      this.#timer = undefined;
      this.next();
    });
  }
}

/** Returns true when the deadline has passed by either clock. */
function isLate({ deadlineMs, untilMs }: Waiting, nowMs: number, monoMs: number): boolean {
  return deadlineMs <= nowMs || untilMs <= monoMs;
}
