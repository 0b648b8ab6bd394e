/** Counts the messages that this instance receives and handles, by entry, and measures its handlers. */
import type { Clock } from '../base/clock';
import { Durations, type Spread } from './durations';
import { Window, windowMs } from './window';

/** Ways in which a handler call ends: see the notice `handled`. */
export type Ending = 'done' | 'failed' | 'failure' | 'parked';

/** Counts of one entry within the last `windowMs`, and durations of its handler calls. */
export interface EntryCounts {
  readonly entry: string;
  /** Time that the counts cover, in ms: a minute, or the time since the first message of the entry. */
  readonly windowMs: number;
  /** Messages that this instance received. */
  readonly in: number;
  /** Handler calls that succeeded. */
  readonly done: number;
  /** Handler calls that failed with an error. */
  readonly failed: number;
  /** Handler calls that ended with a declared failure. */
  readonly failures: number;
  /** Handler calls that parked their message. */
  readonly parked: number;
  /** Requests that were refused because too many waited or the entry is paused. */
  readonly refused: number;
  /** Durations of handler calls; null when none has ended yet. */
  readonly handlerMs: Spread | null;
  /** Times from the acceptance of a message to the start of its handler; null when none has started yet. */
  readonly queueMs: Spread | null;
}

export class EntryCounters {
  readonly #in = new Window();
  readonly #refused = new Window();
  readonly #endings = { done: new Window(), failed: new Window(), failure: new Window(), parked: new Window() };
  readonly #handler = new Durations();
  readonly #queue = new Durations();

  constructor(
    private readonly entry: string,
    private readonly sinceMs: number,
  ) {}

  received(nowMs: number): void {
    this.#in.add(nowMs);
  }
  refused(nowMs: number): void {
    this.#refused.add(nowMs);
  }
  /** Counts the first start of a handler for a message that waited since `acceptedMs`. */
  started(nowMs: number, acceptedMs: number): void {
    this.#queue.add(nowMs, nowMs - acceptedMs);
  }
  ended(nowMs: number, tookMs: number, how: Ending): void {
    this.#endings[how].add(nowMs);
    this.#handler.add(nowMs, tookMs);
  }

  /** Durations of handler calls; null when none has ended yet. */
  get handlerMs(): Spread | null {
    return this.#handler.read();
  }

  read(nowMs: number): EntryCounts {
    const { done, failed, failure, parked } = this.#endings;
    return {
      entry: this.entry,
      windowMs: Math.min(windowMs, Math.max(1_000, nowMs - this.sinceMs)),
      in: this.#in.sum(nowMs),
      done: done.sum(nowMs),
      failed: failed.sum(nowMs),
      failures: failure.sum(nowMs),
      parked: parked.sum(nowMs),
      refused: this.#refused.sum(nowMs),
      handlerMs: this.#handler.read(),
      queueMs: this.#queue.read(),
    };
  }
}

/** The counters of all entries of one instance. */
export interface Counters {
  /** Returns the counters of an entry; undefined when too many entries are counted already. */
  of(entry: string): EntryCounters | undefined;
  read(): readonly EntryCounts[];
}

/** Maximum number of entries that are counted. It bounds memory, about 5 kB each, and the reply of `busbar.status`. */
const entriesMax = 500;

export function openCounters(clock: Pick<Clock, 'now'>): Counters {
  const all = new Map<string, EntryCounters>();
  return {
    of(entry) {
      const found = all.get(entry);
      if (found || all.size >= entriesMax) return found;
      const made = new EntryCounters(entry, clock.now());
      all.set(entry, made);
      return made;
    },
    read: () => [...all.values()].map((one) => one.read(clock.now())),
  };
}
