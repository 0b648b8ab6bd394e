/**
 * Counts messages that are settled and not committed. This bounds what another process would repeat after a takeover.
 */
import type { Clock } from '../../base/clock';

/** Limit of settled messages without a commit. At the limit the partition starts no message. */
export const unkeptMessagesMax = 5_000;
/** Number of settled messages at which a commit is made at once, so that fast handlers do not reach the limit. */
export const hurryMessages = unkeptMessagesMax / 2;
/**
 * Time by which a commit can be overdue before the partition starts no message. A commit on a busy machine takes less.
 */
export const unkeptMsMax = 2_000;

export interface Unkept {
  /** Number of settled messages without a commit. */
  readonly count: number;
  /** Counts a message that was settled. */
  add(): void;
  /** Returns true when no message must start until a commit is acknowledged. */
  isFull(): boolean;
  /** Marks the start of a commit. The returned function must be called when the commit is acknowledged. */
  mark(): () => void;
}
/** Creates a counter. `commitMs` is the maximum delay of a commit while commits are accepted. */
export type MakeUnkept = (clock: Clock, commitMs: number) => Unkept;

export const openUnkept: MakeUnkept = (clock, commitMs) => new UnkeptMessages(clock, commitMs);

class UnkeptMessages implements Unkept {
  /** Messages settled in this ownership. `#kept` counts those that are committed. */
  #settled = 0;
  #kept = 0;
  /** Time when the oldest message without a commit was settled, or a little earlier. */
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
