/** Reads one partition from the position of its group, within the available room, and retries after failures. */
import { sleep, type Clock } from '../../base/clock';
import { outlookOf, errorMessage } from '../../base/errors';
import { PartitionLostError, OutOfRangeError, type OwnedPartition, type ReadMax, type Stored } from '../../ports/log';
import { takenMs, type Newest } from '../progress/commit-state';

export interface ReaderParts {
  readonly clock: Clock;
  readonly owned: OwnedPartition;
  /** Reads what must be known before the first record is admitted. It is repeated until it resolves. */
  readonly prepare?: ((signal: AbortSignal) => Promise<void>) | undefined;
  /** Reads what must be known before these records are admitted. It is called again with them if it rejects. */
  readonly recall?: (records: readonly Stored[], signal: AbortSignal) => Promise<void>;
  admit(record: Stored): void;
  /** Called when everything below `next` was admitted or does not exist. */
  come(next: number): void;
  /** Returns the amount that can be read now. 0 messages means nothing. */
  room(next: number): ReadMax;
  /** Returns true when there is enough room for a worthwhile read. Called for each message. */
  roomy(next: number): boolean;
  /** Returns the offset that has to settle before there is room. */
  lowest(): number;
  stuck(lowest: number): void;
  gap(from: number, start: number): void;
  /**
   * Called when the log has lost what was read from `end` on, or is another log of the same name. Resolves when the new
   * position is known, and ends this reader. Rejects when the position cannot be determined yet.
   */
  cut(end: number, reason: string): Promise<void>;
  lost(): void;
  report(ok: boolean, reason: string): void;
}

/**
 * Interval between checks of a full partition. A lowest message that stays the same between two checks is reported
 * once.
 */
const stuckMs = 10_000;
/** Time after which a pending read counts as healthy. It exceeds the time in which any log reports a failed read. */
const quietMs = 30_000;
const retryMsMin = 100;
const retryMsMax = 5_000;

export class Reader {
  readonly #stop = new AbortController();
  #prepare: ReaderParts['prepare'];
  #next: number;
  /** Newest record that the group has read. It is cleared when the log was found to contain it. */
  #newest: Newest | undefined;
  #failures = 0;
  #roomy: (() => void) | undefined;

  /** Admits records from `from` on, after it has recognized the log by the record `newest`. */
  constructor(
    private readonly parts: ReaderParts,
    private readonly from: number,
    newest: Newest | undefined,
  ) {
    this.#prepare = parts.prepare;
    this.#newest = newest;
    this.#next = Math.min(from, newest?.offset ?? from);
  }

  async run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        if (this.#prepare) await this.#prepare(signal);
        this.#prepare = undefined;
        const max = await this.#room();
        const records = signal.aborted ? [] : await this.#read(max);
        this.#isWell();
        await this.#admit(records);
      } catch (error) {
        await this.#failed(error);
      }
    }
  }

  stop(): void {
    this.#stop.abort();
    this.#roomy?.();
  }

  /**
   * Reads after a failure count as recovered when they return records, or stay pending without an error for `quietMs`.
   */
  async #read(max: ReadMax): Promise<readonly Stored[]> {
    const { clock, owned } = this.parts;
    if (this.#failures === 0) return owned.read(this.#next, max, this.#stop.signal);
    const quiet = clock.after(quietMs, () => this.#isWell());
    try {
      return await owned.read(this.#next, max, this.#stop.signal);
    } finally {
      quiet.cancel();
    }
  }
  #isWell(): void {
    if (this.#failures > 0) this.parts.report(true, 'it is read again');
    this.#failures = 0;
  }

  /** Offset that is read next. */
  get next(): number {
    return this.#next;
  }
  /** True when the log is known to contain what the group has read, or when this can no longer be checked. */
  get isRecognized(): boolean {
    return this.#newest === undefined;
  }

  /** Checks whether there is room again. */
  look(): void {
    if (this.#roomy && this.parts.roomy(this.#next)) this.#roomy();
  }

  async #admit(records: readonly Stored[]): Promise<void> {
    const other = this.#otherIn(records);
    if (other !== undefined)
      return this.#cut(Infinity, `offset ${other} has another record than the one that was read`);
    await this.parts.recall?.(records, this.#stop.signal);
    for (const record of records) {
      const isNew = record.offset >= this.from; // otherwise it was read only to recognize the log
      if (isNew && this.parts.room(this.#next).messages <= 0) await this.#room();
      if (this.#stop.signal.aborted) return;
      if (isNew) this.parts.admit(record);
      this.#next = record.offset + 1;
    }
    this.parts.come(this.#next);
  }

  /** Returns the offset at which these records differ from what the group has read. */
  #otherIn(records: readonly Stored[]): number | undefined {
    const newest = this.#newest;
    const there = newest && records.find(({ offset }) => offset >= newest.offset);
    if (!there) return undefined;
    if (there.offset !== newest.offset || takenMs(there) !== newest.timeMs) return newest.offset;
    this.#newest = undefined;
    return undefined;
  }
  async #cut(end: number, reason: string): Promise<void> {
    await this.parts.cut(end, reason);
    this.stop();
  }

  /** Waits until there is room, and reports a single message that prevents it. */
  async #room(): Promise<ReadMax> {
    for (;;) {
      this.parts.come(this.#next); // settling can depend on the records that were read last
      const max = this.parts.room(this.#next);
      if (max.messages > 0 || this.#stop.signal.aborted) return max;
      await this.#roomAgain(); // other messages can take the room before this continues
    }
  }

  async #roomAgain(): Promise<void> {
    const { clock } = this.parts;
    let [lowest, reported] = [this.parts.lowest(), -1];
    const watch = (): void => {
      const stuck = lowest === this.parts.lowest();
      if (stuck && reported !== lowest) this.parts.stuck((reported = lowest));
      lowest = this.parts.lowest();
      timer = clock.after(stuckMs, watch);
    };
    let timer = clock.after(stuckMs, watch);
    await new Promise<void>((resolve) => (this.#roomy = resolve));
    this.#roomy = undefined;
    timer.cancel();
  }

  async #failed(error: unknown): Promise<void> {
    if (error instanceof PartitionLostError) this.parts.lost();
    else if (error instanceof OutOfRangeError && error.next > this.#next) this.#pass(error.next);
    else if (error instanceof OutOfRangeError && error.next < this.#next)
      await this.#cut(error.next, error.message).catch((unknown: unknown) => this.#pause(unknown));
    else await this.#pause(error);
  }

  /** Continues at the start of the log. The records before it were deleted, including the newest one that was read. */
  #pass(start: number): void {
    this.#newest = undefined;
    const next = Math.max(this.#next, this.from);
    if (start > next) this.parts.gap(next, start);
    this.#next = Math.max(start, next);
    this.parts.come(this.#next);
  }

  async #pause(error: unknown): Promise<void> {
    if (this.#failures === 0) this.parts.report(false, `it cannot be read: ${errorMessage(error)}`);
    const delayMs = retryMsMin * 2 ** Math.min(this.#failures++, 10);
    // Only an operator or another version can repair such a failure, so it is retried slowly from the start.
    const pauseMs = outlookOf(error) === 'transient' ? Math.min(delayMs, retryMsMax) : retryMsMax;
    await sleep(this.parts.clock, pauseMs, this.#stop.signal);
  }
}
