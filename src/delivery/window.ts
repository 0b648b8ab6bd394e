/** Counts what happened in each second of the last minute. */

const seconds = 60;
/** Time that a window covers, in ms. */
export const windowMs = seconds * 1_000;

/** Ring of one count for each second. It needs no timer: old seconds are cleared at the next use. */
export class Window {
  readonly #counts = new Float64Array(seconds);
  /** The newest second that has a count, in seconds since 1970. */
  #newest = -Infinity;

  add(nowMs: number, count = 1): void {
    const slot = this.#turn(nowMs) % seconds;
    this.#counts[slot] = (this.#counts[slot] ?? 0) + count;
  }

  /** Returns the sum of the last `lastSeconds`, of which the newest has just begun. */
  sum(nowMs: number, lastSeconds = seconds): number {
    const newest = this.#turn(nowMs);
    let sum = 0;
    for (let ago = 0; ago < lastSeconds; ago++) sum += this.#counts[(newest - ago) % seconds] ?? 0;
    return sum;
  }

  /** Clears the seconds that have passed since the last use, and returns the current one. */
  #turn(nowMs: number): number {
    const now = Math.floor(nowMs / 1_000);
    const passed = now - this.#newest;
    // A clock that was set back a little counts in the newest second. One that was set back a lot starts again.
    if (passed <= 0 && passed > -seconds) return this.#newest;
    if (passed < seconds && passed > 0) {
      for (let ago = 0; ago < passed; ago++) this.#counts[(now - ago) % seconds] = 0;
    } else this.#counts.fill(0);
    this.#newest = now;
    return now;
  }
}
