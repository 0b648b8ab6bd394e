/**
 * Decides how much of a partition is read ahead of its handlers, and whether a message can start: only within the room
 * of memory and of a commit.
 */
import { Capacity } from '../../base/bounded';
import { limits } from '../../base/limits';
import type { ReadMax } from '../../ports/log';
import { rangesThatFit } from '../progress/commit-state';
import type { Watermark } from '../progress/watermark';

/**
 * Messages of a partition in memory while its handlers are busy. It is low because the garbage collector moves them
 * all.
 */
const readAhead = 32;
const readMessagesMax = 1_000;
const readBytesMax = 4 * 1024 * 1024;
/** Share of a full limit in use at which reading resumes, so that each read returns many records. */
const fullShare = 0.75;

/** Creates the counter of the messages that an instance holds in memory. */
export const openBuffered = (): Capacity => new Capacity({ count: Infinity, bytes: limits.instanceBufferBytesMax });

export interface RoomParts {
  readonly watermark: Pick<Watermark, 'at' | 'seen' | 'openRanges' | 'unsettled'>;
  readonly stateBytesMax: () => number;
  /** Messages whose handlers run. Each can add one more range. */
  readonly running: ReadonlySet<{ readonly bytes: number }>;
  /** Offset below which everything was read by an earlier owner. */
  readonly seenBefore: number;
  /** Messages in memory, of all partitions of this instance. */
  readonly whole: Capacity;
  /** Returns true when handlers are free and no message in memory can start. */
  readonly isHungry: () => boolean;
  /** Called when other partitions have made room. */
  readonly wake: () => void;
  /** Returns true when no further message can settle before the next commit. */
  readonly isCommitFull: () => boolean;
  /** Offers refused messages to the lanes again: the one at `offset` alone, or all. */
  readonly offer: (offset?: number) => void;
}

export class Room {
  /** Messages of this partition in memory. */
  readonly #held: Capacity;
  /** True when `mayStart` has refused a message that was not offered again. */
  #refused = false;
  #isWaiting = false;
  #isClosed = false;

  constructor(private readonly parts: RoomParts) {
    const max = { count: limits.bufferMessagesMax, bytes: limits.bufferBytesMax };
    this.#held = new Capacity(max, parts.whole, limits.partitionReserveBytes);
  }

  /** Counts a message that was read into memory. */
  add({ bytes }: { readonly bytes: number }): void {
    this.#held.add(bytes);
  }
  /** Removes a settled message from the count. */
  remove({ bytes }: { readonly bytes: number }): void {
    if (!this.#isClosed) this.#held.remove(bytes);
  }
  /** Counts only the running messages, since the waiting ones were dropped from memory. */
  keepRunning(): void {
    let bytes = 0;
    for (const message of this.parts.running) bytes += message.bytes;
    this.#held.remove(this.#held.bytes - bytes, this.#held.count - this.parts.running.size);
  }
  /** Releases all room, since the partition belongs to another instance. */
  close(): void {
    this.#held.remove(this.#held.bytes, this.#held.count);
    this.#isClosed = true;
  }

  /** True when the instance has used up its common room, and this partition its reserve. */
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
  /** Returns what fills the room, as a reason for a notice. */
  describeFull(): string {
    const { unsettled, openRanges } = this.parts.watermark;
    const own = `${unsettled} messages are in memory, ${openRanges} ranges are settled above it`;
    if (!this.#isWholeFull) return own;
    const { bytes, max } = this.parts.whole;
    return `${own}, and ${bytes} of ${max.bytes} bytes of all partitions of this instance are used`;
  }

  /**
   * Number of settled ranges above the watermark that fit into a commit. At this number only the lowest message starts.
   */
  get rangesMax(): number {
    const { watermark, stateBytesMax, running } = this.parts;
    const { at, seen } = watermark;
    const fit = rangesThatFit(stateBytesMax(), seen - at) - running.size;
    return Math.max(0, Math.min(limits.openRangesMax, fit));
  }

  /** Returns true when a message that starts now can be recorded in a commit. Refused ones are offered again later. */
  mayStart(offset: number): boolean {
    const { watermark, isCommitFull } = this.parts;
    const isOpen = watermark.openRanges < this.rangesMax || offset === watermark.at;
    const may = isOpen && !isCommitFull();
    if (!may) this.#refused = true;
    return may;
  }
  /** Offers refused messages after a message was settled. `moved` means that the watermark has moved. */
  settled(moved: boolean): void {
    if (this.#refused) this.#offerAgain(moved);
  }
  /** Offers refused messages after a commit, since more can settle before the next one. Returns true with any. */
  committed(): boolean {
    if (!this.#refused) return false;
    this.#offerAgain(true);
    return true;
  }
  /** At the limit of ranges only the lowest message can start. With room again, all messages are offered. */
  #offerAgain(moved: boolean): void {
    const { watermark, offer } = this.parts;
    if (watermark.openRanges < this.rangesMax * fullShare) {
      this.#refused = false;
      offer();
    } else if (moved) offer(watermark.at);
  }

  /**
   * Returns the amount to read: a few messages while they keep the handlers busy. Returns up to the limits of the
   * buffer when no message in memory can start.
   */
  next(next: number): ReadMax {
    const messages = this.#free(this.parts.isHungry() ? limits.bufferMessagesMax : readAhead);
    const bytes = this.#held.freeBytes;
    if (bytes <= 0 && this.#isWholeFull) this.#awaitWhole();
    if (messages <= 0 || bytes <= 0 || this.#rangesFull(next)) return { messages: 0, bytes: 0 };
    return { messages: Math.min(readMessagesMax, messages), bytes: Math.min(readBytesMax, bytes) };
  }
  /** Returns true only when a good part of the full limit is free, so that each read returns many records. */
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
  /**
   * Returns true when no further range fits into a commit. Rereading adds no ranges, and can be needed to find the
   * lowest message.
   */
  #rangesFull(next: number): boolean {
    const { openRanges } = this.parts.watermark;
    return openRanges > 0 && openRanges >= this.rangesMax && next >= this.parts.seenBefore;
  }
}
