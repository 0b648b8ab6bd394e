/** Reads one partition from where its group has come to: no further than there is room, on after trouble. */
import { sleep, type Clock } from '../../base/clock';
import { outlookOf, sayError } from '../../base/errors';
import { LostError, OutOfRangeError, type Owned, type ReadMax, type Stored } from '../../ports/log';
import { takenMs, type Newest } from '../progress/commit-state';

export interface ReaderParts {
  readonly clock: Clock;
  readonly owned: Owned;
  admit(record: Stored): void;
  /** Everything below `next` was admitted, or is not there. */
  come(next: number): void;
  /** What may be read now; 0 messages is nothing. */
  room(next: number): ReadMax;
  /** Whether there is room again for so much that it is worth a read. Called for each message. */
  roomy(next: number): boolean;
  /** What has to settle before there is room, if it stays the same. */
  lowest(): number;
  stuck(lowest: number): void;
  gap(from: number, start: number): void;
  /**
   * The log has lost what was read from `end` on, or is another one of the same name. Resolves when it is known where
   * to go on; then this reader has ended. Rejects when that cannot be known yet.
   */
  cut(end: number, reason: string): Promise<void>;
  lost(): void;
  tell(ok: boolean, reason: string): void;
}

/** Without room while the lowest message stays the same from one look to the next is told, once. */
const stuckMs = 10_000;
/** Longer than it takes any log to say that it cannot be read. */
const quietMs = 30_000;
const retryMsMin = 100;
const retryMsMax = 5_000;

export class Reader {
  readonly #stop = new AbortController();
  #next: number;
  /** The newest record that the group has read, until the log was found to have it. */
  #newest: Newest | undefined;
  #failures = 0;
  #roomy: (() => void) | undefined;

  /** Gives out what lies from `from` on, once it has come by `newest`. */
  constructor(
    private readonly parts: ReaderParts,
    private readonly from: number,
    newest: Newest | undefined,
  ) {
    this.#newest = newest;
    this.#next = Math.min(from, newest?.offset ?? from);
  }

  async run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
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

  /** After trouble it is well when there is something, or when nothing came for so long, no trouble either. */
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
    if (this.#failures > 0) this.parts.tell(true, 'it is read again');
    this.#failures = 0;
  }

  /** Whether the log is known to hold what the group has read, or nothing can tell any longer. */
  get isRecognized(): boolean {
    return this.#newest === undefined;
  }

  /** There may be room again. */
  look(): void {
    if (this.#roomy && this.parts.roomy(this.#next)) this.#roomy();
  }

  async #admit(records: readonly Stored[]): Promise<void> {
    const other = this.#otherIn(records);
    if (other !== undefined) return this.#cut(Infinity, `another record than was read lies at ${other}`);
    for (const record of records) {
      const isNew = record.offset >= this.from; // else it was read to recognize the log
      if (isNew && this.parts.room(this.#next).messages <= 0) await this.#room();
      if (this.#stop.signal.aborted) return;
      if (isNew) this.parts.admit(record);
      this.#next = record.offset + 1;
    }
    this.parts.come(this.#next);
  }

  /** The offset at which these show that the log is not the one that the group has read. */
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

  /** Waits until there is room, and tells when one message alone keeps it from being. */
  async #room(): Promise<ReadMax> {
    for (;;) {
      this.parts.come(this.#next); // what was read last may be what is waited for
      const max = this.parts.room(this.#next);
      if (max.messages > 0 || this.#stop.signal.aborted) return max;
      await this.#roomAgain(); // what made room can be taken by other messages before this goes on
    }
  }

  async #roomAgain(): Promise<void> {
    const { clock } = this.parts;
    let [lowest, told] = [this.parts.lowest(), -1];
    const watch = (): void => {
      const stuck = lowest === this.parts.lowest();
      if (stuck && told !== lowest) this.parts.stuck((told = lowest));
      lowest = this.parts.lowest();
      timer = clock.after(stuckMs, watch);
    };
    let timer = clock.after(stuckMs, watch);
    await new Promise<void>((resolve) => (this.#roomy = resolve));
    this.#roomy = undefined;
    timer.cancel();
  }

  async #failed(error: unknown): Promise<void> {
    if (error instanceof LostError) this.parts.lost();
    else if (error instanceof OutOfRangeError && error.next > this.#next) this.#pass(error.next);
    else if (error instanceof OutOfRangeError && error.next < this.#next)
      await this.#cut(error.next, error.message).catch((unknown: unknown) => this.#pause(unknown));
    else await this.#pause(error);
  }

  /** The log starts at `start`: what lay before it is gone, with the newest record that was read. */
  #pass(start: number): void {
    this.#newest = undefined;
    const next = Math.max(this.#next, this.from);
    if (start > next) this.parts.gap(next, start);
    this.#next = Math.max(start, next);
    this.parts.come(this.#next);
  }

  async #pause(error: unknown): Promise<void> {
    if (this.#failures === 0) this.parts.tell(false, `it cannot be read: ${sayError(error)}`);
    const delayMs = retryMsMin * 2 ** Math.min(this.#failures++, 10);
    // What only an operator or another version changes is asked for slowly from the start.
    const pauseMs = outlookOf(error) === 'transient' ? Math.min(delayMs, retryMsMax) : retryMsMax;
    await sleep(this.parts.clock, pauseMs, this.#stop.signal);
  }
}
