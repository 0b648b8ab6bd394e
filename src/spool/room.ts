/** Limits the bytes that wait in the spool, in all and for each topic. */
import { every, type Clock, type Timer } from '../base/clock';
import { BusError } from '../base/errors';
import { sizeText } from '../format/amounts';
import type { Append, Log } from '../ports/log';

/** Age at which the figures of the log are read again. Other processes append meanwhile, so the limit is not exact. */
const lookMs = 100;
/**
 * Interval at which the figures are read while the spool is full. An instance that is not ready gets no further call,
 * which would read them.
 */
const fullLookMs = 500;
/** Bytes that a record takes beside its key, value and headers, at most. */
const recordOverheadBytes = 64;

export interface RoomParts {
  readonly clock: Clock;
  readonly local: Pick<Log, 'storedBytes' | 'peek' | 'bounds'>;
  readonly bytesMax: number;
  /** Part of `bytesMax` that the messages for one topic can take. */
  readonly topicShare: number;
  /** Returns the topics of the spool. */
  readonly topics: () => Iterable<string>;
  /** Called when an append was refused, and when there is room again. */
  readonly full: (reason: string | undefined) => void;
}

/** Bytes in the log when it was last read, and the bytes that this process has appended since. */
interface Figure {
  stored: number;
  added: number;
}

/** A limit of the whole spool, or of one topic. */
interface Limit {
  readonly option: 'spoolBytesMax' | 'spoolTopicShare';
  readonly bytes: number;
  /** Returns the bytes that count against it. */
  readonly used: () => number;
}
/** Part of a limit below which a full spool has room again, so that the report does not alternate. */
const roomAgainShare = 0.9;

export class Room {
  readonly #figures = new Map<string, Figure>();
  #lookedMs = -Infinity;
  #looking: Promise<void> | undefined;
  #oldestMs = 0;
  /** The limit that refused an append, until there is room again. */
  #full: Limit | undefined;
  #watching: Timer | undefined;

  constructor(private readonly parts: RoomParts) {}

  /**
   * Throws SpoolFull if the records do not fit, and counts them otherwise. It is synchronous, because appends must keep
   * the order of their calls.
   */
  take(topic: string, records: readonly Append[]): void {
    if (this.parts.clock.mono() - this.#lookedMs >= lookMs) void this.look();
    const bytes = records.reduce((sum, record) => sum + bytesOf(record), 0);
    const { bytesMax, topicShare } = this.parts;
    const figure = this.#figureOf(topic);
    const own = (): number => figure.stored + figure.added;
    const limits: readonly Limit[] = [
      { option: 'spoolBytesMax', bytes: bytesMax, used: () => this.bytes },
      { option: 'spoolTopicShare', bytes: Math.floor(bytesMax * topicShare), used: own },
    ];
    // An empty spool takes a record of any size, which would otherwise never fit.
    const limit = limits.find(({ bytes: most, used }) => used() > 0 && used() + bytes > most);
    if (limit) throw this.#refuse(topic, limit);
    figure.added += bytes;
  }

  /** Reads the figures again. Resolves when that is done; a log that cannot be read keeps the last ones. */
  look(): Promise<void> {
    this.#lookedMs = this.parts.clock.mono();
    return (this.#looking ??= this.#read()
      .catch(() => undefined) // appending reports a log that is broken
      .finally(() => (this.#looking = undefined)));
  }

  async #read(): Promise<void> {
    for (const topic of this.parts.topics()) {
      const figure = this.#figureOf(topic);
      const before = figure.added;
      figure.stored = (await this.parts.local.storedBytes?.(topic)) ?? 0;
      // The read contains what was added before it, except appends in progress, which the next read contains.
      figure.added -= before;
    }
    if (!this.#full) return;
    this.#oldestMs = await this.#oldest();
    if (this.#full.used() >= this.#full.bytes * roomAgainShare) return;
    this.#full = undefined;
    this.close();
    this.parts.full(undefined);
  }

  /** Stops reading the figures of a full spool. */
  close(): void {
    this.#watching?.cancel();
    this.#watching = undefined;
  }

  /** Returns the time at which the oldest message was appended, in ms since 1970; 0 without one. */
  async #oldest(): Promise<number> {
    const { local } = this.parts;
    let oldestMs = 0;
    for (const topic of this.parts.topics()) {
      for (const { partition, start, end } of await local.bounds(topic)) {
        if (start >= end) continue;
        const [first] = await local.peek(topic, { partition, offset: start }, { messages: 1, bytes: 1 });
        if (first && (oldestMs === 0 || first.timeMs < oldestMs)) oldestMs = first.timeMs;
      }
    }
    return oldestMs;
  }

  #figureOf(topic: string): Figure {
    const found = this.#figures.get(topic) ?? { stored: 0, added: 0 };
    this.#figures.set(topic, found);
    return found;
  }
  /** Bytes that wait, as of the last read and with what this process has appended since. */
  get bytes(): number {
    let sum = 0;
    for (const { stored, added } of this.#figures.values()) sum += stored + added;
    return sum;
  }

  #refuse(topic: string, limit: Limit): BusError<'SpoolFull'> {
    const { clock, full } = this.parts;
    const [bytes, limitBytes] = [limit.used(), limit.bytes];
    const oldestMs = this.#oldestMs > 0 ? Math.max(0, clock.now() - this.#oldestMs) : 0;
    const message =
      `the spool has no room for ${topic}: ${sizeText(bytes)} wait for the brokers, ` +
      `the limit of ${limit.option} is ${sizeText(limitBytes)}`;
    if (!this.#full) {
      this.#full = limit;
      void this.look(); // reads the age of the oldest message
      this.#watching ??= every(clock, fullLookMs, () => void this.look());
      full(message);
    }
    return new BusError('SpoolFull', message, { bytes, limitBytes, oldestMs });
  }
}

function bytesOf({ key, value, headers }: Append): number {
  let bytes = recordOverheadBytes + (key?.length ?? 0) + (value?.length ?? 0);
  for (const name in headers) bytes += name.length + (headers[name]?.length ?? 0);
  return bytes;
}
