/** Marks messages that an operator skips: they are parked instead of handled, so that their lanes continue. */

/** Abort reason of the handler of a message that an operator skips. */
export class SkippedError extends Error {
  override readonly name = 'SkippedError';
}

/** Maximum number of messages that are marked at a time. Those marked first are forgotten. */
const markedMax = 10_000;

export class Skips {
  /** Reasons by message id, in the order of marking. */
  readonly #reasons = new Map<string, string>();

  mark(id: string, reason: string): void {
    this.#reasons.delete(id);
    this.#reasons.set(id, reason);
    if (this.#reasons.size <= markedMax) return;
    const [oldest] = this.#reasons.keys();
    if (oldest !== undefined) this.#reasons.delete(oldest);
  }
  /** Returns the reason for parking a message; undefined if it is not skipped. */
  reasonOf({ id }: { readonly id: string }): string | undefined {
    return this.#reasons.size === 0 ? undefined : this.#reasons.get(id);
  }
  /** Forgets a message that is settled. */
  settled({ id }: { readonly id: string }): void {
    if (this.#reasons.size > 0) this.#reasons.delete(id);
  }
}
