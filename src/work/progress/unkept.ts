/** Counts what is settled and not yet committed, to bound what another process would repeat if it took over now. */
import type { Clock } from '../../base/clock';

/** A partition starts no message while so many are settled without a commit. */
export const unkeptMessagesMax = 5_000;
/** With so many a commit is made at once, so that fast handlers do not reach the limit while commits are accepted. */
export const hurryMessages = unkeptMessagesMax / 2;
/** A partition starts no message when a commit is overdue for so long: longer than a commit takes on a busy machine. */
export const unkeptMsMax = 2_000;

export interface Unkept {
  /** Settled messages without a commit. */
  readonly count: number;
  /** A message was settled. */
  add(): void;
  /** Whether nothing may be started until a commit is acknowledged. */
  isFull(): boolean;
  /** To be called when a commit is made; the function returned when it is acknowledged. */
  mark(): () => void;
}
/** `commitMs` is the longest time that a settled message waits for its commit while commits are accepted. */
export type MakeUnkept = (clock: Clock, commitMs: number) => Unkept;

export const openUnkept: MakeUnkept = (clock, commitMs) => new UnkeptMessages(clock, commitMs);

class UnkeptMessages implements Unkept {
  /** Settled in this ownership, and how many of these are committed. */
  #settled = 0;
  #kept = 0;
  /** When the oldest message without a commit was settled, or a little earlier. */
  #sinceMs: number | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly commitMs: number,
  ) {}

  get count(): number {
    return this.#settled - this.#kept;
  }
  add(): void {
    this.#settled++;
    this.#sinceMs ??= this.clock.mono();
  }
  isFull(): boolean {
    if (this.#sinceMs === undefined) return false;
    return this.count >= unkeptMessagesMax || this.clock.mono() - this.#sinceMs >= this.commitMs + unkeptMsMax;
  }

  mark(): () => void {
    const [settled, atMs] = [this.#settled, this.clock.mono()];
    return () => {
      this.#kept = Math.max(this.#kept, settled);
      this.#sinceMs = this.count > 0 ? atMs : undefined;
    };
  }
}
