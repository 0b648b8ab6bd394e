/** Closes a handler while it runs: no call starts after the close, and the close waits for running calls. */
import { deferred, type Deferred } from '../base/lifecycle';

export class Gate {
  #isClosed = false;
  #running = 0;
  #idle: Deferred<void> | undefined;

  /** Counts a call that starts now. Returns false, and counts nothing, when the gate is closed. */
  enter(): boolean {
    if (this.#isClosed) return false;
    this.#running++;
    return true;
  }
  /** Ends a call that `enter` counted. */
  leave(): void {
    this.#running--;
    if (this.#running === 0) this.#idle?.resolve();
  }
  /** Closes the gate. Resolves when no call runs. */
  close(): Promise<void> {
    this.#isClosed = true;
    if (this.#running === 0) return Promise.resolve();
    this.#idle ??= deferred<void>();
    return this.#idle.promise;
  }
}
