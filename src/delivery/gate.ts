/** Closes a handler while calls of it wait and run: no call starts after the close, and running ones are aborted. */
import { within, type Clock } from '../base/clock';
import { BusError } from '../base/errors';
import { deferred, type Deferred } from '../base/lifecycle';
import type { DeliveryContext } from './context';

/** Returns the abort reason of handlers that still run when their gate has waited long enough. */
export function closedReason(message: string): BusError<'Cancelled'> {
  return new BusError('Cancelled', message, { reason: 'closed' });
}

export class Gate {
  #isClosed = false;
  /** Functions that drop a waiting call. Each one also identifies its call. */
  readonly #waiting = new Set<() => void>();
  readonly #running = new Set<DeliveryContext>();
  #idle: Deferred<void> | undefined;

  /** Registers a call that waits for its turn. `drop` is called if the gate closes before the call starts. */
  wait(drop: () => void): void {
    if (this.#isClosed) drop();
    else this.#waiting.add(drop);
  }
  /** Starts the waiting call of `drop`. Returns false when it was dropped. */
  enter(drop: () => void, context: DeliveryContext): boolean {
    if (!this.#waiting.delete(drop)) return false;
    this.#running.add(context);
    return true;
  }
  /** Ends a call that `enter` started. */
  leave(context: DeliveryContext): void {
    this.#running.delete(context);
    if (this.#running.size === 0) this.#idle?.resolve();
  }
  /**
   * Starts no further call, and drops the waiting ones. Resolves when no call runs, after at most `drainMs`. Calls that
   * still run are then aborted with `reason`.
   */
  async close(clock: Clock, drainMs: number, reason: unknown): Promise<void> {
    this.#shut();
    if (this.#running.size === 0) return;
    this.#idle ??= deferred<void>();
    await within(clock, drainMs, this.#idle.promise);
    this.abort(reason);
  }
  /** Starts no further call, drops the waiting ones, and aborts the running ones with `reason`. */
  abort(reason: unknown): void {
    this.#shut();
    for (const context of this.#running) context.abort(reason);
  }

  #shut(): void {
    this.#isClosed = true;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const drop of waiting) drop();
  }
}
