/** Implements the records of a memory world: topics, partitions, retention and compaction. */
import { BusError } from '../base/errors';
import type { Append, Bounds, LogRecord, Place, ReadMax, Stored, Topic } from '../ports/log';

const bytesOf = (bytes: Uint8Array | null): number => bytes?.length ?? 0;
const copy = (bytes: Uint8Array | null): Uint8Array | null => bytes && new Uint8Array(bytes);

/** Returns the size of a record in bytes, including headers. */
export function recordBytes(record: Omit<Append, 'partition'>): number {
  let bytes = bytesOf(record.key) + bytesOf(record.value);
  for (const [name, value] of Object.entries(record.headers))
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  return bytes;
}

/** Returns a copy that shares no bytes, so that no caller can change another's data. */
export function copyRecord<R extends LogRecord>(record: R): R {
  return { ...record, key: copy(record.key), value: copy(record.value), headers: { ...record.headers } };
}

export class Partition {
  end = 0;
  #start = 0;
  readonly #records: Stored[] = [];
  readonly #newest = new Map<string, number>(); // for compacted topics: key to offset
  readonly #wakes = new Set<() => void>();
  readonly #readers = new Set<() => number>();

  constructor(
    readonly topic: Topic,
    readonly partition: number,
    readonly nowMs: () => number,
  ) {}

  /** First offset that is still kept. */
  get start(): number {
    this.#expire();
    return this.#start;
  }

  /** Stores the record itself, so the caller must not share it. */
  append(record: Append, timeMs: number): Place {
    const stored: Stored = { ...record, offset: this.end++, timeMs };
    if (this.topic.compacted && stored.key) {
      const key = Buffer.from(stored.key).toString('latin1');
      const older = this.#newest.get(key);
      if (older !== undefined) this.#remove(older);
      this.#newest.set(key, stored.offset);
    }
    this.#records.push(stored);
    return { partition: this.partition, offset: stored.offset };
  }

  #remove(offset: number): void {
    const index = this.#indexOf(offset);
    if (this.#records[index]?.offset === offset) this.#records.splice(index, 1);
  }

  /** Returns the index of the first record at or after an offset. */
  #indexOf(offset: number): number {
    let low = 0;
    let high = this.#records.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#records[middle]?.offset ?? offset) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Returns records from an offset on, at most `max`, and at least one if any exist. */
  from(offset: number, max: ReadMax): readonly Stored[] {
    this.#expire();
    const found: Stored[] = [];
    let bytes = 0;
    for (let index = this.#indexOf(offset); index < this.#records.length && found.length < max.messages; index++) {
      const record = this.#records[index];
      if (!record) break;
      bytes += recordBytes(record);
      if (found.length > 0 && bytes > max.bytes) break;
      found.push(copyRecord(record));
    }
    return found;
  }

  /** Returns the offset of the first record that was appended at `timeMs` or later, or the end. */
  since(timeMs: number): number {
    this.#expire();
    return this.#records.find((record) => record.timeMs >= timeMs)?.offset ?? this.end;
  }

  trim(before: number): void {
    this.#start = Math.max(this.#start, Math.min(before, this.end));
    this.#records.splice(0, this.#indexOf(this.#start));
  }

  /** Keeps the records from the offset that `next` returns, until the returned function is called. */
  hold(next: () => number): () => void {
    this.#readers.add(next);
    return () => void this.#readers.delete(next);
  }

  /** Removes records older than the topic keeps them. It runs before every read, so no timer is needed. */
  #expire(): void {
    const { keepMs } = this.topic;
    const [first] = this.#records;
    if (keepMs === null || !first) return;
    const keptMs = this.nowMs() - keepMs;
    if (first.timeMs > keptMs) return;
    const unread = Math.min(Infinity, ...Array.from(this.#readers, (next) => next()));
    if (first.offset >= unread) return;
    const kept = this.#records.find(({ offset, timeMs }) => timeMs > keptMs || offset >= unread);
    this.trim(kept?.offset ?? this.end);
  }

  bounds(): Bounds {
    return { partition: this.partition, start: this.start, end: this.end };
  }

  storedBytes(): number {
    return this.#records.reduce((sum, record) => sum + recordBytes(record), 0);
  }

  /** Calls `wake` whenever the partition changes, until the returned function is called. */
  watch(wake: () => void): () => void {
    this.#wakes.add(wake);
    return () => void this.#wakes.delete(wake);
  }
  wake(): void {
    for (const wake of this.#wakes) wake();
  }
}

/** A topic whose retention can be raised. Its partitions hold the same object. */
type Kept = { -readonly [K in keyof Topic]: Topic[K] };

export class Topics {
  readonly #topics = new Map<string, { readonly topic: Kept; readonly partitions: readonly Partition[] }>();

  constructor(
    readonly nowMs: () => number,
    /** Returns the largest record of a topic in bytes. */
    readonly recordBytesMax: (topic: string) => number,
  ) {}

  ensure(topic: Topic): Topic {
    const there = this.#topics.get(topic.name)?.topic;
    if (there && there.partitions !== topic.partitions) {
      const counts = `${there.partitions} partitions, not ${topic.partitions}`;
      throw config(`topic ${topic.name} has ${counts}: a change would move keys to other partitions`);
    }
    if (there) {
      const isLonger = there.keepMs !== null && topic.keepMs !== null && topic.keepMs > there.keepMs;
      if (isLonger) there.keepMs = topic.keepMs;
      return { ...there };
    }
    if (!(topic.partitions >= 1)) throw config(`topic ${topic.name} needs at least one partition`);
    const kept: Kept = { ...topic };
    const partitions = Array.from(
      { length: topic.partitions },
      (_, partition) => new Partition(kept, partition, this.nowMs),
    );
    this.#topics.set(topic.name, { topic: kept, partitions });
    return { ...topic };
  }

  all(): readonly Topic[] {
    return [...this.#topics.values()].map(({ topic }) => ({ ...topic }));
  }

  partitions(topic: string): readonly Partition[] {
    const found = this.#topics.get(topic);
    if (!found) throw config(`topic ${topic} does not exist; ensure it first`);
    return found.partitions;
  }

  partition(topic: string, partition: number): Partition {
    const found = this.partitions(topic)[partition];
    if (!found) throw config(`topic ${topic} has no partition ${partition}`);
    return found;
  }

  append(topic: string, records: readonly Append[]): readonly Place[] {
    const partitions = records.map((record) => this.partition(topic, record.partition));
    for (const record of records) this.#check(topic, record);
    const timeMs = this.nowMs();
    const places = records.map((record) => this.partition(topic, record.partition).append(record, timeMs));
    for (const partition of new Set(partitions)) partition.wake();
    return places;
  }

  #check(topic: string, record: Append): void {
    const limitBytes = this.recordBytesMax(topic);
    const bytes = recordBytes(record);
    if (bytes > limitBytes) {
      const message = `a record for ${topic} has ${bytes} bytes, the limit is ${limitBytes}`;
      throw new BusError('TooLarge', message, { bytes, limitBytes });
    }
    if (record.key === null && this.#topics.get(topic)?.topic.compacted) {
      throw config(`a record of the compacted topic ${topic} needs a key`);
    }
  }
}

function config(fault: string): BusError {
  return new BusError(
    'Config',
    fault,
    { faults: [fault] },
    undefined,
    'Use the topic as it was created, or another name.',
  );
}
