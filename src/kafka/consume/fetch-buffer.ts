/** Buffers the records of one partition that were fetched ahead of their reader, within a bound. */
import { Capacity } from '../../base/bounded';
import { onAbort } from '../../base/lifecycle';
import type { ReadMax, Stored } from '../../ports/log';
import type { TopicPartition } from '../protocol/types';

/** Content below which more is fetched. A position holds at most this and one response of a broker. */
const refillMax = { count: 100, bytes: 16 * 1024 };

interface Chunk {
  readonly records: readonly Stored[];
  readonly sizes: readonly number[];
}

/** Fetch position of one reader, and the records that were fetched for it. */
export class FetchBuffer implements TopicPartition {
  /** Offset of the next fetch. */
  next: number;
  /** Number of jumps of the reader. A response to a fetch from before the last jump is ignored. */
  jumps = 0;
  /** Error that the reader receives after the buffered records. */
  failure: unknown;
  /** True during the pause after an error, in which nothing is fetched. */
  resting = false;
  closed = false;
  /** Number of its fetches in flight. */
  polls = 0;
  /** Monotonic time at which a fetch was last in flight, or no fetch was needed. */
  polledMs = -Infinity;
  /**
   * Set while the log seems to end before `next`: the start of that, the lowest end, and the last broker that reported
   * it.
   */
  beyond: { readonly sinceMs: number; readonly end: number; readonly node: number } | undefined;
  /** Offset of damaged records that were received, and the time of their first receipt. */
  damaged: { readonly at: number; readonly sinceMs: number } | undefined;
  /**
   * Value of `ClusterMetadata.absences` at which the topic was last known to be the same. A higher value means that it
   * can have been recreated.
   */
  absences: number;
  /** Last record that was fetched. The topic is recognized by it after an absence. */
  last: Pick<Stored, 'offset' | 'timeMs'> | undefined;
  readonly #chunks: Chunk[] = [];
  /** Number of records of the first chunk that were returned. */
  #head = 0;
  readonly #held = new Capacity(refillMax);
  /** Offset after the last returned record. */
  #read: number;
  readonly #waiting = new Set<() => void>();

  constructor(
    readonly topic: string,
    readonly partition: number,
    from: number,
    private readonly changed: (buffer: FetchBuffer) => void,
    private readonly absencesNow = (): number => 0,
  ) {
    this.absences = absencesNow();
    this.next = from;
    this.#read = from;
  }

  /** True if the buffer has room for more records. */
  get hasRoom(): boolean {
    return this.#held.fits(1) && !this.closed && this.failure === undefined;
  }
  get wantsFetch(): boolean {
    return this.hasRoom && !this.resting;
  }

  get hasNews(): boolean {
    return this.closed || this.#chunks.length > 0 || this.failure !== undefined;
  }

  /** Continues at `from`. Buffered records are kept if they continue there. */
  seek(from: number): void {
    const first = this.#chunks[0]?.records[this.#head]?.offset ?? this.next;
    if (from === this.#read || (from > this.#read && from <= first)) return;
    this.jump(from);
  }
  jump(from: number): void {
    this.jumps++;
    this.absences = this.absencesNow();
    this.#chunks.length = 0;
    this.#head = 0;
    this.#held.remove(this.#held.bytes, this.#held.count);
    this.failure = this.beyond = this.last = undefined;
    this.next = this.#read = from;
    this.changed(this);
  }

  /** Adds the records of a fetch that began at or before the position, and sets the position to `next`. */
  put(records: readonly Stored[], next: number): void {
    const mine = records[0] !== undefined && records[0].offset < this.next ? from(records, this.next) : records;
    this.next = Math.max(this.next, next);
    if (mine.length === 0) return;
    this.last = mine.at(-1);
    const sizes = mine.map(sizeOf);
    this.#chunks.push({ records: mine, sizes });
    for (const size of sizes) this.#held.add(size);
    this.wake();
  }
  fail(error: unknown): void {
    this.failure = error;
    this.wake();
  }

  /** Returns buffered records: at most `max`, but at least one if any is buffered. Throws the failure if none is. */
  take(max: ReadMax): readonly Stored[] {
    const [chunk] = this.#chunks;
    if (!chunk) {
      if (this.failure === undefined) return [];
      const reported = this.failure;
      this.failure = undefined;
      this.changed(this);
      throw reported;
    }
    let end = this.#head;
    let bytes = 0;
    while (end < chunk.records.length && end - this.#head < Math.max(1, max.messages)) {
      bytes += chunk.sizes[end] ?? 0;
      if (bytes > max.bytes && end > this.#head) break;
      end++;
    }
    return this.#handOut(chunk, end);
  }

  #handOut({ records, sizes }: Chunk, end: number): readonly Stored[] {
    const before = this.wantsFetch;
    const whole = this.#head === 0 && end === records.length;
    const out = whole ? records : records.slice(this.#head, end);
    for (let i = this.#head; i < end; i++) this.#held.remove(sizes[i] ?? 0);
    this.#head = end;
    if (end === records.length) {
      this.#chunks.shift();
      this.#head = 0;
    }
    this.#read = (out.at(-1)?.offset ?? this.#read - 1) + 1;
    if (!before && this.wantsFetch) this.changed(this);
    return out;
  }

  /** Calls `wake` when records or an error can be available, until the returned function is called. */
  watch(wake: () => void): () => void {
    this.#waiting.add(wake);
    return () => void this.#waiting.delete(wake);
  }
  wake(): void {
    for (const wake of this.#waiting) wake();
  }

  close(): void {
    this.closed = true;
    this.#chunks.length = 0;
    this.changed(this);
    this.wake();
  }
}

/** Returns the approximate size of a record. Headers count by their characters. */
function sizeOf({ key, value, headers }: Stored): number {
  let size = (key?.length ?? 0) + (value?.length ?? 0);
  for (const name in headers) size += name.length + (headers[name]?.length ?? 0);
  return size;
}

function from(records: readonly Stored[], offset: number): readonly Stored[] {
  return records.filter((record) => record.offset >= offset);
}

/** Resolves when `ready` returns true. It is called after every change of a position and when a signal aborts. */
export function whenReady(
  ready: () => boolean,
  buffers: readonly FetchBuffer[],
  signals: readonly AbortSignal[],
): Promise<void> {
  return new Promise((resolve) => {
    if (ready()) return resolve();
    const look = (): void => {
      if (!ready()) return;
      for (const ignore of watched) ignore();
      resolve();
    };
    const watched = [...buffers.map((buffer) => buffer.watch(look)), ...signals.map((signal) => onAbort(signal, look))];
  });
}
