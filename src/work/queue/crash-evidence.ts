/** Tracks attempts of the unsettled messages of a partition, including attempts of owners that lost it. */
import type { Clock } from '../../base/clock';
import type { Message } from '../message';
import type { Tried } from '../progress/commit-state';

/**
 * Duration of frequent commits after a loss, in multiples of commitMs, from the first start on. During the first
 * commitMs every start is recorded in the log before its handler runs. The next owner therefore finds a message that
 * ended its process within its first commitMs.
 */
const waryTimes = 4;
const waryCommitMs = 20;

export class CrashEvidence {
  /** True when the earlier owner was lost after it had started a message, which can have ended its process. */
  readonly #unclean: boolean;
  #firstMs = Infinity;
  readonly #attempts = new Map<number, number>();
  /** Offsets of messages whose last attempt is not known to have ended. That attempt counts. */
  readonly #interrupted = new Set<number>();

  constructor(
    tried: readonly Tried[],
    private readonly clock: Clock,
    private readonly usualMs: number,
  ) {
    this.#unclean = tried.some((one) => one.running || one.attempts === 0);
    for (const { offset, attempts, running } of tried) {
      if (running) this.#interrupted.add(offset);
      if (running || attempts > 0) this.#attempts.set(offset, attempts + (running ? 1 : 0));
    }
  }

  /** Returns true when a message that starts now must be recorded in the log first. */
  wary(): boolean {
    if (!this.#unclean) return false;
    this.#firstMs = Math.min(this.#firstMs, this.clock.mono());
    return this.#isWithin(1);
  }
  /** Returns the maximum time that settled messages can wait for their commit now. */
  commitMs(): number {
    return this.#unclean && this.#isWithin(waryTimes) ? Math.min(waryCommitMs, this.usualMs) : this.usualMs;
  }
  #isWithin(times: number): boolean {
    return this.clock.mono() < this.#firstMs + times * this.usualMs;
  }

  /** Sets the known attempts on the message. */
  recall(message: Message): void {
    if (this.#attempts.size === 0) return;
    message.attempts = this.#attempts.get(message.offset) ?? 0;
    message.interrupted = this.#interrupted.has(message.offset);
  }
  failed({ offset, attempts }: Message): void {
    this.#attempts.set(offset, attempts);
    this.#interrupted.delete(offset);
  }
  settled(offset: number): void {
    if (this.#attempts.size === 0) return;
    this.#attempts.delete(offset);
    this.#interrupted.delete(offset);
  }

  /**
   * Returns the attempts that a commit records for messages from `from` on. `open` means that this owner continues. If
   * no message runs, a line with 0 attempts marks the partition as owned. The next owner then detects that this one was
   * lost.
   */
  report(from: number, running: ReadonlySet<number>, open: boolean): readonly Tried[] {
    const tried = [...new Set([...this.#attempts.keys(), ...running])]
      .filter((offset) => offset >= from)
      .toSorted((a, b) => a - b)
      .map((offset) => this.#of(offset, running.has(offset)));
    if (open && !tried.some((one) => one.running)) tried.unshift({ offset: from, attempts: 0, running: false });
    return tried;
  }

  #of(offset: number, running: boolean): Tried {
    const attempts = this.#attempts.get(offset) ?? 0;
    if (running || !this.#interrupted.has(offset)) return { offset, attempts, running };
    return { offset, attempts: attempts - 1, running: true }; // unchanged, since no attempt has ended here
  }
}
