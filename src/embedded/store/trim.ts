/**
 * Removes old records by offset and by age, and old tombstones. It works in small steps, so that no transaction blocks
 * other writers.
 */
import type { Clock, Random, Timer } from '../../base/clock';
import { isBusError, errorMessage } from '../../base/errors';
import type { Change, Store, WriteKind } from '../../disk/lmdb';
import type { GroupOfTopic, Topic } from '../../ports/log';
import { Aging } from './aging';
import { kinds, partitionKey, PlaceKeys } from './keys';
import { timeOf } from './record-format';
import { encodeCount, type Edge, type Topics } from './topics';

/**
 * Records removed in one transaction, which takes about a millisecond. It is fewer while the disk has no room for the
 * pages that such a transaction can change.
 */
const stepRecords = 500;
/** Interval between sweeps. Each waits a random 50-100 % of it, so that processes do not sweep at the same time. */
const sweepMs = 60_000;
/** Time for which a tombstone is kept, so that a reader that follows the topic receives it: 1 hour. */
const tombstoneMs = 3_600_000;

export interface TrimmerParts {
  /** Returns all groups of the log. */
  readonly groups: () => readonly GroupOfTopic[];
  /** Called with the reason when a sweep failed, once while the reason stays the same. The next sweep retries. */
  readonly failed: (reason: string) => void;
  /** Called when records were removed that a group has not read. */
  readonly dropped: (what: string, reason: string) => void;
  /** Most bytes that one topic keeps of records that are too old and that a group has not read. */
  readonly heldBytesMax: number;
}

export class Trimmer {
  private timer: Timer | undefined;
  private closed = false;
  private failure = '';
  private readonly aging: Aging;

  constructor(
    private readonly store: Store,
    private readonly topics: Topics,
    private readonly clock: Clock,
    random: Random,
    private readonly parts: TrimmerParts,
  ) {
    const below: Aging['parts']['below'] = (topic, partition, before) => this.below(topic, partition, before);
    this.aging = new Aging({ ...parts, store, topics, clock, below, closed: () => this.closed });
    const schedule = (): void => {
      if (this.closed) return;
      this.timer = clock.after(sweepMs * (0.5 + random.next() / 2), () => void this.trySweep().finally(schedule));
    };
    schedule();
  }

  private async trySweep(): Promise<void> {
    try {
      await this.sweep();
      this.failure = '';
    } catch (error) {
      const reason = errorMessage(error);
      if (reason !== this.failure) this.parts.failed(reason);
      this.failure = reason;
    }
  }

  close(): void {
    this.closed = true;
    this.timer?.cancel();
  }

  /** Removes the records below `before`. Resolves to the number of offsets that this process removed. */
  async below(topic: string, partition: number, before: number): Promise<number> {
    const keys = new PlaceKeys(kinds.record, topic, partition);
    let removed = 0;
    // Each step moves the start forward, or finds that another process did.
    const step = async (records: number, kind?: WriteKind): Promise<boolean> => {
      this.store.refresh();
      const start = this.topics.edge(topic, partition, 'start');
      const to = Math.min(before, this.topics.bounds(topic, partition).end);
      if (start.offset >= to) return false;
      const { changes, next } = this.changesOf(keys, start, to, records);
      if (await this.moveStart(topic, partition, start, next, changes, kind)) removed += next.offset - start.offset;
      return true;
    };
    await inSteps(() => this.closed, step);
    return removed;
  }

  private changesOf(keys: PlaceKeys, start: Edge, to: number, records: number): { changes: Change[]; next: Edge } {
    const changes: Change[] = [];
    if (start.bytes === undefined) {
      let next = to;
      this.store.scan(keys.at(start.offset), keys.at(to), (key) => {
        changes.push({ key, value: null });
        if (changes.length < records) return true;
        next = keys.offsetOf(key) + 1;
        return false;
      });
      return { changes, next: { offset: next, bytes: undefined } };
    }
    // A topic whose bytes are counted has hardly a gap, and removing a key that does not exist changes nothing.
    const next = Math.min(to, start.offset + records);
    for (let offset = start.offset; offset < next; offset++) changes.push({ key: keys.at(offset), value: null });
    return { changes, next: { offset: next, bytes: this.bytesUpTo(keys, { ...start, bytes: start.bytes }, next) } };
  }

  /** Returns the bytes of the records below an offset. Those below `start` are known. */
  private bytesUpTo(keys: PlaceKeys, start: Edge & { readonly bytes: number }, next: number): number {
    const upTo = this.store.version(keys.at(next - 1));
    if (upTo) return upTo;
    // The last record is missing, or was written by a version that gave records no such version.
    let { bytes } = start;
    for (let offset = start.offset; offset < next; offset++) bytes += this.store.view(keys.at(offset))?.length ?? 0;
    return bytes;
  }

  private moveStart(
    topic: string,
    partition: number,
    from: Edge,
    to: Edge,
    changes: Change[],
    kind?: WriteKind,
  ): Promise<boolean> {
    const key = partitionKey(kinds.start, [topic], partition);
    changes.push({ key, value: encodeCount(to.bytes), version: to.offset });
    return this.store.within(this.store.write({ key, version: from.offset }, changes, kind));
  }

  /** Removes everything that is too old, in one pass over all topics. */
  async sweep(): Promise<void> {
    this.store.forgetDeadReaders();
    for (const topic of this.topics.all()) {
      if (topic.keepMs !== null) await this.aging.sweep(topic, topic.keepMs);
      for (let partition = 0; topic.compacted && partition < topic.partitions && !this.closed; partition += 1) {
        await this.tombstones(topic, partition, this.clock.now() - tombstoneMs);
      }
    }
  }

  /**
   * Removes each old tombstone that is still the newest record of its key, together with the index entry of the key.
   */
  private async tombstones(topic: Topic, partition: number, thanMs: number): Promise<void> {
    const notes = new PlaceKeys(kinds.tombstone, topic.name, partition);
    const records = new PlaceKeys(kinds.record, topic.name, partition);
    const endKey = partitionKey(kinds.end, [topic.name], partition);
    const step = async (count: number, kind?: WriteKind): Promise<boolean> => {
      this.store.refresh();
      const { end } = this.topics.bounds(topic.name, partition);
      const changes: Change[] = [];
      this.store.scan(notes.at(0), notes.at(end), (note, { value: newest }) => {
        const key = records.at(notes.offsetOf(note));
        const record = this.store.view(key);
        if (record !== undefined && timeOf(record) >= thanMs) return false;
        changes.push({ key: note, value: null }, { key, value: null }, { key: newest, value: null });
        return changes.length < count;
      });
      if (changes.length === 0) return false;
      // Guarded by the end, since an append in between can be for one of these keys. The loop then retries.
      await this.store.within(this.store.write({ key: endKey, version: end }, changes, kind));
      return true;
    };
    await inSteps(() => this.closed, step);
  }
}

/**
 * Calls `write` with a number of records until it returns false. The number is halved while the disk has no room for
 * it, and doubled after a success.
 */
async function inSteps(isClosed: () => boolean, write: (records: number, kind?: WriteKind) => Promise<boolean>) {
  let records = stepRecords;
  while (!isClosed()) {
    try {
      if (!(await write(records, records > 1 ? 'divisible' : undefined))) return;
      records = Math.min(stepRecords, 2 * records);
    } catch (error) {
      if (records === 1 || !isBusError(error, 'DiskFull')) throw error;
      records = Math.ceil(records / 2);
    }
  }
}
