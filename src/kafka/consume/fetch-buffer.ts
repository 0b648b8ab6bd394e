/** A place in a partition that is read on from: what was fetched ahead of its reader, within bounds. */
import { Capacity } from '../../base/bounded';
import { onAbort } from '../../base/lifecycle';
import type { ReadMax, Stored } from '../../ports/log';
import type { Spot } from '../protocol/types';

/** While less than this is in hand, more is fetched: a position holds at most this much and one answer of a broker. */
const refillMax = { count: 100, bytes: 16 * 1024 };

interface Chunk {
  readonly records: readonly Stored[];
  readonly sizes: readonly number[];
}

/** Of one reader: reads overlap only to be told apart by their signals. */
export class Position implements Spot {
  /** Where to fetch on. */
  next: number;
  /** Rises when the reader jumps: what was asked before does not count any more. */
  jumps = 0;
  /** What the reader has to be told before anything else. */
  failure: unknown;
  /** Not to be fetched now: something went wrong a moment ago. */
  resting = false;
  closed = false;
  /** Fetches of it that are under way. */
  polls = 0;
  /** When one was last under way, or was not wanted; monotonic time. */
  polledMs = -Infinity;
  /** The log seems to end before `next`: since when, where at the lowest, and which broker said so last. */
  beyond: { readonly sinceMs: number; readonly end: number; readonly node: number } | undefined;
  /** What came from there on was damaged: since when. */
  damaged: { readonly at: number; readonly sinceMs: number } | undefined;
  /** See `View.absences`, when its reader came to where it reads. */
  absences: number;
  /** The last record that was read: by it the topic is recognized after it was away. */
  last: Pick<Stored, 'offset' | 'timeMs'> | undefined;
  readonly #chunks: Chunk[] = [];
  /** Records of the first chunk that were handed out. */
  #head = 0;
  readonly #held = new Capacity(refillMax);
  /** Behind what was handed out. */
  #read: number;
  readonly #waiting = new Set<() => void>();

  constructor(
    readonly topic: string,
    readonly partition: number,
    from: number,
    private readonly changed: (position: Position) => void,
    private readonly absencesNow = (): number => 0,
  ) {
    this.absences = absencesNow();
    this.next = from;
    this.#read = from;
  }

  /** Whether its reader would take more than is in hand. */
  get hungry(): boolean {
    return this.#held.fits(1) && !this.closed && this.failure === undefined;
  }
  get wanting(): boolean {
    return this.hungry && !this.resting;
  }

  get hasNews(): boolean {
    return this.closed || this.#chunks.length > 0 || this.failure !== undefined;
  }

  /** Reads on at `from`: what is in hand is kept if it continues there. */
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

  /** What a fetch from `next` on brought. */
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

  /** What is in hand, at most `max`, at least one if there is any. Throws what the reader has to be told. */
  take(max: ReadMax): readonly Stored[] {
    const [chunk] = this.#chunks;
    if (!chunk) {
      if (this.failure === undefined) return [];
      const told = this.failure;
      this.failure = undefined;
      this.changed(this);
      throw told;
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
    const before = this.wanting;
    const whole = this.#head === 0 && end === records.length;
    const out = whole ? records : records.slice(this.#head, end);
    for (let i = this.#head; i < end; i++) this.#held.remove(sizes[i] ?? 0);
    this.#head = end;
    if (end === records.length) {
      this.#chunks.shift();
      this.#head = 0;
    }
    this.#read = (out.at(-1)?.offset ?? this.#read - 1) + 1;
    if (!before && this.wanting) this.changed(this);
    return out;
  }

  /** Calls `wake` when there may be something to take, until the function that comes back is called. */
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

/** About what it takes: headers count by their characters. */
function sizeOf({ key, value, headers }: Stored): number {
  let size = (key?.length ?? 0) + (value?.length ?? 0);
  for (const name in headers) size += name.length + (headers[name]?.length ?? 0);
  return size;
}

function from(records: readonly Stored[], offset: number): readonly Stored[] {
  return records.filter((record) => record.offset >= offset);
}

/** Resolves when `ready` holds, looking again whenever a position changes or a signal aborts. */
export function whenReady(
  ready: () => boolean,
  positions: readonly Position[],
  signals: readonly AbortSignal[],
): Promise<void> {
  return new Promise((resolve) => {
    if (ready()) return resolve();
    const look = (): void => {
      if (!ready()) return;
      for (const ignore of watched) ignore();
      resolve();
    };
    const watched = [
      ...positions.map((position) => position.watch(look)),
      ...signals.map((signal) => onAbort(signal, look)),
    ];
  });
}
