/** Decides how much of a partition is read ahead of its handlers: few messages while these are busy, within limits. */
import { limits } from '../../base/limits';
import type { ReadMax } from '../../ports/log';
import { rangesThatFit } from '../progress/commit-state';
import type { Watermark } from '../progress/watermark';

/** Messages of a partition in memory while its handlers have enough to do: few, as the garbage collector moves them. */
const readAhead = 32;
const readMessagesMax = 1_000;
const readBytesMax = 4 * 1024 * 1024;
/** What was full is filled again when no more than this is left of it. */
export const fullShare = 0.75;

export class Room {
  /** Bytes of the messages in memory. */
  bytes = 0;

  constructor(
    private readonly watermark: Pick<Watermark, 'at' | 'seen' | 'unsettled' | 'openRanges'>,
    private readonly stateBytesMax: () => number,
    /** Messages whose handlers run; each can make one more range. */
    private readonly running: ReadonlySet<unknown>,
    /** Everything below was read by an earlier owner. */
    private readonly seenBefore: number,
    /** Whether handlers are free and no message in memory can start. */
    private readonly isHungry: () => boolean,
  ) {}

  /** Settled ranges above the watermark that a commit has room for. At this number only the lowest message starts. */
  get rangesMax(): number {
    const { at, seen } = this.watermark;
    const fit = rangesThatFit(this.stateBytesMax(), seen - at) - this.running.size;
    return Math.max(0, Math.min(limits.openRangesMax, fit));
  }

  /**
   * A few messages are enough as long as they keep the handlers busy; up to the bounds of the buffer when all that is
   * here waits behind others.
   */
  next(next: number): ReadMax {
    const messages = this.#free(this.isHungry() ? limits.bufferMessagesMax : readAhead);
    const bytes = limits.bufferBytesMax - this.bytes;
    if (messages <= 0 || bytes <= 0 || this.#rangesFull(next)) return { messages: 0, bytes: 0 };
    return { messages: Math.min(readMessagesMax, messages), bytes: Math.min(readBytesMax, bytes) };
  }
  /** Not before a good part of what was full is free, so that each read brings many. */
  isWorth(next: number): boolean {
    if (this.bytes >= limits.bufferBytesMax * fullShare || this.#rangesFull(next)) return false;
    if (this.#free(readAhead, fullShare) > 0) return true;
    return this.#free(limits.bufferMessagesMax, fullShare) > 0 && this.isHungry();
  }

  #free(messages: number, share = 1): number {
    return Math.floor(Math.min(messages, limits.bufferMessagesMax) * share) - this.watermark.unsettled;
  }
  /** Reading what was read before makes no new ranges, and can be what it takes to find the lowest message. */
  #rangesFull(next: number): boolean {
    const { openRanges } = this.watermark;
    return openRanges > 0 && openRanges >= this.rangesMax && next >= this.seenBefore;
  }
}
