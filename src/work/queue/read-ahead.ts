/** Decides how much of a partition is read ahead of its handlers: few messages while these are busy, within limits. */
import { Capacity } from '../../base/bounded';
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

/** Counts the messages that an instance holds in memory. */
export const openBuffered = (): Capacity => new Capacity({ count: Infinity, bytes: limits.instanceBufferBytesMax });

export interface RoomParts {
  readonly watermark: Pick<Watermark, 'at' | 'seen' | 'openRanges'>;
  readonly stateBytesMax: () => number;
  /** Messages whose handlers run; each can make one more range. */
  readonly running: ReadonlySet<{ readonly bytes: number }>;
  /** Everything below was read by an earlier owner. */
  readonly seenBefore: number;
  /** Messages in memory, of all partitions of this instance. */
  readonly whole: Capacity;
  /** Whether handlers are free and no message in memory can start. */
  readonly isHungry: () => boolean;
  /** Called when other partitions have made room. */
  readonly wake: () => void;
}

export class Room {
  /** Messages in memory. */
  readonly #held: Capacity;
  #isWaiting = false;
  #isClosed = false;

  constructor(private readonly parts: RoomParts) {
    const max = { count: limits.bufferMessagesMax, bytes: limits.bufferBytesMax };
    this.#held = new Capacity(max, parts.whole, limits.partitionReserveBytes);
  }

  /** The message is in memory from now on. */
  add({ bytes }: { readonly bytes: number }): void {
    this.#held.add(bytes);
  }
  /** It was settled. */
  remove({ bytes }: { readonly bytes: number }): void {
    if (!this.#isClosed) this.#held.remove(bytes);
  }
  /** Messages that wait were dropped: only those that run are still in memory. */
  keepRunning(): void {
    let bytes = 0;
    for (const message of this.parts.running) bytes += message.bytes;
    this.#held.remove(this.#held.bytes - bytes, this.#held.count - this.parts.running.size);
  }
  /** The partition belongs to another instance. */
  close(): void {
    this.#held.remove(this.#held.bytes, this.#held.count);
    this.#isClosed = true;
  }

  /** Other partitions have used up what is for all of the instance, and this one its reserve. */
  get #isWholeFull(): boolean {
    return this.#held.bytes >= limits.partitionReserveBytes && !this.parts.whole.isBelow(fullShare);
  }
  #awaitWhole(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    void this.parts.whole.below(fullShare).then(() => {
      this.#isWaiting = false;
      this.parts.wake();
    });
  }
  /** A reason beside those of this partition why it is not read on, for a notice; else an empty text. */
  describeWhole(): string {
    const { bytes, max } = this.parts.whole;
    if (!this.#isWholeFull) return '';
    return `, and ${bytes} of ${max.bytes} bytes of all partitions of this instance are used`;
  }

  /** Settled ranges above the watermark that a commit has room for. At this number only the lowest message starts. */
  get rangesMax(): number {
    const { watermark, stateBytesMax, running } = this.parts;
    const { at, seen } = watermark;
    const fit = rangesThatFit(stateBytesMax(), seen - at) - running.size;
    return Math.max(0, Math.min(limits.openRangesMax, fit));
  }

  /**
   * A few messages are enough as long as they keep the handlers busy; up to the bounds of the buffer when all that is
   * here waits behind others.
   */
  next(next: number): ReadMax {
    const messages = this.#free(this.parts.isHungry() ? limits.bufferMessagesMax : readAhead);
    const bytes = this.#held.freeBytes;
    if (bytes <= 0 && this.#isWholeFull) this.#awaitWhole();
    if (messages <= 0 || bytes <= 0 || this.#rangesFull(next)) return { messages: 0, bytes: 0 };
    return { messages: Math.min(readMessagesMax, messages), bytes: Math.min(readBytesMax, bytes) };
  }
  /** Not before a good part of what was full is free, so that each read brings many. */
  isWorth(next: number): boolean {
    if (this.#held.bytes >= limits.bufferBytesMax * fullShare || this.#rangesFull(next)) return false;
    if (this.#isWholeFull) {
      this.#awaitWhole();
      return false;
    }
    if (this.#free(readAhead, fullShare) > 0) return true;
    return this.#free(limits.bufferMessagesMax, fullShare) > 0 && this.parts.isHungry();
  }

  #free(messages: number, share = 1): number {
    return Math.floor(Math.min(messages, limits.bufferMessagesMax) * share) - this.#held.count;
  }
  /** Reading what was read before makes no new ranges, and can be what it takes to find the lowest message. */
  #rangesFull(next: number): boolean {
    const { openRanges } = this.parts.watermark;
    return openRanges > 0 && openRanges >= this.rangesMax && next >= this.parts.seenBefore;
  }
}
