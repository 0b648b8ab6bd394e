/** Lets a handler be closed while it runs: nothing starts after that, and closing waits for what runs. */
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
  /** A call that was counted has ended. */
  leave(): void {
    this.#running--;
    if (this.#running === 0) this.#idle?.resolve();
  }
  /** Resolves when no call runs. */
  close(): Promise<void> {
    this.#isClosed = true;
    if (this.#running === 0) return Promise.resolve();
    this.#idle ??= deferred<void>();
    return this.#idle.promise;
  }
}
