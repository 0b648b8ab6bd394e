/** What was tried of the messages of a partition that are not settled: by its owner, and by those it was lost by. */
import type { Clock } from '../../base/clock';
import type { Message } from '../message';
import type { Tried } from '../progress/commit-state';

/**
 * After a loss: for so many times commitMs from the first start on, commits are made so often that the next owner finds
 * what ended its process within its first commitMs, when nothing is started that the log was not told of.
 */
const waryTimes = 4;
const waryCommitMs = 20;

export class Trials {
  /** The owner before was lost after it had started something: that may be what ended its process. */
  readonly #unclean: boolean;
  #firstMs = Infinity;
  readonly #attempts = new Map<number, number>();
  /** Whose last attempt did not end, as far as is known. It counts. */
  readonly #cutOff = new Set<number>();

  constructor(
    tried: readonly Tried[],
    private readonly clock: Clock,
    private readonly usualMs: number,
  ) {
    this.#unclean = tried.some((one) => one.running || one.attempts === 0);
    for (const { offset, attempts, running } of tried) {
      if (running) this.#cutOff.add(offset);
      if (running || attempts > 0) this.#attempts.set(offset, attempts + (running ? 1 : 0));
    }
  }

  /** Whether what starts now is told to the log before. */
  wary(): boolean {
    if (!this.#unclean) return false;
    this.#firstMs = Math.min(this.#firstMs, this.clock.mono());
    return this.#isWithin(1);
  }
  /** How long settled messages may wait for their commit now. */
  commitMs(): number {
    return this.#unclean && this.#isWithin(waryTimes) ? Math.min(waryCommitMs, this.usualMs) : this.usualMs;
  }
  #isWithin(times: number): boolean {
    return this.clock.mono() < this.#firstMs + times * this.usualMs;
  }

  /** Tells the message what is known of it. */
  recall(message: Message): void {
    if (this.#attempts.size === 0) return;
    message.attempts = this.#attempts.get(message.offset) ?? 0;
    message.cutOff = this.#cutOff.has(message.offset);
  }
  failed({ offset, attempts }: Message): void {
    this.#attempts.set(offset, attempts);
    this.#cutOff.delete(offset);
  }
  settled(offset: number): void {
    if (this.#attempts.size === 0) return;
    this.#attempts.delete(offset);
    this.#cutOff.delete(offset);
  }

  /**
   * What a commit says of messages from `from` on. `open`: this owner goes on. Where nothing else says so, a line of no
   * attempts does, so that the next owner knows that this one was lost.
   */
  tell(from: number, running: ReadonlySet<number>, open: boolean): readonly Tried[] {
    const tried = [...new Set([...this.#attempts.keys(), ...running])]
      .filter((offset) => offset >= from)
      .toSorted((a, b) => a - b)
      .map((offset) => this.#of(offset, running.has(offset)));
    if (open && !tried.some((one) => one.running)) tried.unshift({ offset: from, attempts: 0, running: false });
    return tried;
  }

  #of(offset: number, running: boolean): Tried {
    const attempts = this.#attempts.get(offset) ?? 0;
    if (running || !this.#cutOff.has(offset)) return { offset, attempts, running };
    return { offset, attempts: attempts - 1, running: true }; // as it was found: no attempt has ended since
  }
}
