/** Puts records at the end of partitions: all calls of a moment in one transaction, in the order of the calls. */
import type { Clock, Random, Timer } from '../../base/clock';
import { sleep } from '../../base/clock';
import { Capacity } from '../../base/bounded';
import { BusError, inPart } from '../../base/errors';
import { limits } from '../../base/limits';
import type { Change, Store } from '../../disk/lmdb';
import type { Append, Place, Topic } from '../../ports/log';
import { kinds, newestKey, partitionKey, PlaceKeys } from './keys';
import { encodeRecord } from './record-format';
import { mark, type Topics } from './topics';

/** A message with its envelope, and what a parked one carries beside it. */
export const recordBytesMax = limits.messageBytesMax + 128 * 1024;
/** A transaction holds everybody else up, so it stays short. */
const batchRecordsMax = 1000;
const batchBytesMax = 4 * 1024 * 1024;
/** What may wait in one process for its turn to be written. */
const waitingMax = { count: 200_000, bytes: 64 * 1024 * 1024 };
const retryAfterMs = 100;
/** How long a call may wait for its turn and its writing. */
const appendMs = 10_000;
/** Refusals in a row after which a partition pauses a little: many processes append to it at once. */
const refusalsBeforePause = 20;
const pauseMsMax = 5;

/** One record that waits, encoded. */
interface Item {
  readonly call: Call;
  /** Where in the call it stands. */
  readonly index: number;
  readonly key: Uint8Array | null;
  readonly tombstone: boolean;
  readonly bytes: Buffer;
}
interface Call {
  readonly places: Place[];
  left: number;
  /** Records that are being written, or were. */
  writing: number;
  over: boolean;
  timer: Timer;
  done(places: readonly Place[]): void;
  fail(error: unknown): void;
}
/** One partition. Only one batch of it is on its way at a time; what comes meanwhile makes the next one. */
interface Lane {
  readonly topic: Topic;
  readonly partition: number;
  readonly keys: PlaceKeys;
  readonly endKey: Buffer;
  readonly waiting: Item[];
  /** Where the partition ended when we last knew. */
  end: number | undefined;
  busy: boolean;
}

export interface AppenderParts {
  readonly store: Store;
  readonly topics: Topics;
  readonly clock: Clock;
  readonly random: Random;
  /** Records of this topic can be seen by all from now on. */
  readonly appended: (topic: string) => void;
}

export class Appender {
  private readonly lanes = new Map<string, Lane>();
  private readonly running = new Set<Promise<void>>();
  private readonly capacity = new Capacity(waitingMax);

  constructor(private readonly parts: AppenderParts) {}

  /** See {@link Log.append}. Rejects with Overloaded when too much waits; nothing of the call is written then. */
  append(name: string, records: readonly Append[]): Promise<readonly Place[]> {
    const topic = this.parts.topics.get(name);
    const encoded = this.encode(topic, records);
    if (records.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const call = this.makeCall(topic.name, records.length, resolve, reject);
      records.forEach((record, index) => {
        const lane = this.laneOf(topic, record.partition);
        // The encoding above made one block of bytes for each record.
        const bytes = encoded[index] as Buffer;
        lane.waiting.push({ call, index, key: copyOf(topic, record.key), tombstone: record.value === null, bytes });
        this.start(lane);
      });
    });
  }

  /** All that may be wrong with a call is found here, before anything of it is queued. */
  private encode(topic: Topic, records: readonly Append[]): readonly Buffer[] {
    const timeMs = this.parts.clock.now();
    let bytes = 0;
    const encoded = records.map((record) => {
      if (!Number.isInteger(record.partition) || record.partition < 0 || record.partition >= topic.partitions) {
        throw configFault(`topic '${topic.name}' has ${topic.partitions} partitions, there is no ${record.partition}`);
      }
      if (topic.compacted && record.key === null)
        throw configFault(`a record of the compacted topic '${topic.name}' needs a key`);
      const block = encodeRecord(record, timeMs);
      if (block.length > recordBytesMax) throw tooLarge(topic.name, block.length);
      bytes += block.length;
      return block;
    });
    this.reserve(topic.name, records.length, bytes);
    return encoded;
  }

  private reserve(topic: string, records: number, bytes: number): void {
    if (!this.capacity.fits(bytes, records))
      throw this.capacity.overloaded(topic, 'records', retryAfterMs, bytes, records);
    this.capacity.add(bytes, records);
  }

  private makeCall(
    topic: string,
    left: number,
    resolve: (places: readonly Place[]) => void,
    reject: (error: unknown) => void,
  ): Call {
    const call: Call = {
      places: Array.from<Place>({ length: left }),
      left,
      writing: 0,
      over: false,
      timer: this.parts.clock.after(appendMs, () => call.fail(this.late(topic, call))),
      done(places) {
        call.over = true;
        call.timer.cancel();
        resolve(places);
      },
      fail(error) {
        if (call.over) return;
        call.over = true;
        call.timer.cancel();
        reject(error);
      },
    };
    return call;
  }

  /** What waits when its call has ended is dropped, so that it is known to be unwritten. */
  private late(topic: string, { writing }: Call): BusError<'Unreachable'> {
    const { store } = this.parts;
    const [outcome, what] =
      writing === 0
        ? (['not-sent', 'nothing of it was written'] as const)
        : (['unknown', 'it may be written'] as const);
    const cause = `appending to ${topic} took longer than ${appendMs} ms, ${what}; ${store.holder()}`;
    return new BusError('Unreachable', `${store.path}: ${cause}`, { outcome, waitedMs: appendMs, cause });
  }

  private laneOf(topic: Topic, partition: number): Lane {
    const id = `${partition} ${topic.name}`;
    const there = this.lanes.get(id);
    if (there !== undefined) return there;
    const keys = new PlaceKeys(kinds.record, topic.name, partition);
    const endKey = partitionKey(kinds.end, [topic.name], partition);
    const lane: Lane = { topic, partition, keys, endKey, waiting: [], end: undefined, busy: false };
    this.lanes.set(id, lane);
    return lane;
  }

  private start(lane: Lane): void {
    if (lane.busy) return;
    lane.busy = true;
    // After all that is asked for in this very moment, so that it goes together.
    const run = Promise.resolve()
      .then(() => this.run(lane))
      .finally(() => this.running.delete(run));
    this.running.add(run);
  }

  /** Resolves when nothing is being written any more, or after the time limit for writing. */
  async close(): Promise<void> {
    await this.parts.store.within(Promise.all(this.running)).catch(() => undefined);
  }

  /** Writes until nothing waits. Never rejects: every item's call hears what became of it. */
  private async run(lane: Lane): Promise<void> {
    let refusals = 0;
    for (let batch = this.takeBatch(lane); batch.length > 0; batch = this.takeBatch(lane)) {
      if (await this.tryWrite(lane, batch)) {
        refusals = 0;
        continue;
      }
      // Somebody else was faster. Nothing was written, so these go first again, with what came meanwhile.
      lane.waiting.unshift(...batch);
      refusals += 1;
      if (refusals > refusalsBeforePause) await sleep(this.parts.clock, this.parts.random.next() * pauseMsMax);
    }
    lane.busy = false;
  }

  /** What goes next; calls that have failed meanwhile drop out here, so waiting ends with their time limit. */
  private takeBatch(lane: Lane): Item[] {
    const batch: Item[] = [];
    let bytes = 0;
    let taken = 0;
    for (const item of lane.waiting) {
      if (batch.length >= batchRecordsMax || (bytes >= batchBytesMax && batch.length > 0)) break;
      taken += 1;
      if (item.call.over) this.free(item);
      else {
        batch.push(item);
        bytes += item.bytes.length;
      }
    }
    lane.waiting.splice(0, taken);
    return batch;
  }

  /** Whether the batch is settled, written or failed; false if it was refused and may be tried again. */
  private async tryWrite(lane: Lane, batch: readonly Item[]): Promise<boolean> {
    try {
      const first = lane.topic.compacted ? this.readEnd(lane) : (lane.end ?? this.readEnd(lane));
      const end = first + batch.length;
      const changes = lane.topic.compacted ? this.compacting(lane, batch, first) : plain(lane, batch, first);
      changes.push({ key: lane.endKey, value: mark, version: end });
      for (const { call } of batch) call.writing += 1;
      const written = await this.parts.store.write({ key: lane.endKey, version: first }, changes, 'append');
      lane.end = written ? end : undefined;
      if (written) this.settle(lane, batch, first);
      else for (const { call } of batch) call.writing -= 1;
      return written;
    } catch (error) {
      lane.end = undefined;
      for (const item of batch) this.free(item);
      const counts = new Map<Call, number>();
      for (const { call } of batch) counts.set(call, (counts.get(call) ?? 0) + 1);
      // Records of the call in other partitions can be in the log, or get there.
      for (const [call, count] of counts) call.fail(count < call.places.length ? inPart(error) : error);
      return true;
    }
  }

  private readEnd(lane: Lane): number {
    this.parts.store.refresh();
    return this.parts.topics.bounds(lane.topic.name, lane.partition).end;
  }

  private settle(lane: Lane, batch: readonly Item[], first: number): void {
    this.parts.appended(lane.topic.name);
    batch.forEach((item, index) => {
      this.free(item);
      const { call } = item;
      call.places[item.index] = { partition: lane.partition, offset: first + index };
      call.left -= 1;
      if (call.left === 0 && !call.over) call.done(call.places);
    });
  }

  private free(item: Item): void {
    this.capacity.remove(item.bytes.length);
  }

  /**
   * The older record of each key goes in the same transaction. Where it is was read together with the end that guards
   * the transaction, so it is still true.
   */
  private compacting(lane: Lane, batch: readonly Item[], first: number): Change[] {
    const newest = new Map<string, number>();
    const changes: Change[] = [];
    batch.forEach((item, index) => {
      const offset = first + index;
      const indexKey = newestKey(lane.topic.name, lane.partition, item.key ?? mark);
      const id = indexKey.toString('latin1');
      const older = newest.get(id) ?? this.parts.store.version(indexKey);
      newest.set(id, offset);
      if (older !== undefined) {
        changes.push({ key: lane.keys.at(older), value: null });
        changes.push({ key: tombstoneKey(lane, older), value: null });
      }
      changes.push({ key: lane.keys.at(offset), value: item.bytes });
      changes.push({ key: indexKey, value: mark, version: offset });
      if (item.tombstone) changes.push({ key: tombstoneKey(lane, offset), value: indexKey });
    });
    return changes;
  }
}

function plain(lane: Lane, batch: readonly Item[], first: number): Change[] {
  return batch.map((item, index) => ({ key: lane.keys.at(first + index), value: item.bytes }));
}

function tombstoneKey(lane: Lane, offset: number): Buffer {
  return new PlaceKeys(kinds.tombstone, lane.topic.name, lane.partition).at(offset);
}

/** Only a compacted topic needs the key once the record is encoded. */
function copyOf(topic: Topic, key: Uint8Array | null): Uint8Array | null {
  return topic.compacted && key !== null ? Uint8Array.from(key) : null;
}

function configFault(message: string): BusError<'Config'> {
  const remedy = 'Append a record that fits the topic: with a partition that it has, and a key where it is compacted.';
  return new BusError('Config', message, { faults: [message] }, undefined, remedy);
}

function tooLarge(topic: string, bytes: number): BusError<'TooLarge'> {
  return new BusError('TooLarge', `a record for ${topic} has ${bytes} bytes, at most ${recordBytesMax} are taken`, {
    bytes,
    limitBytes: recordBytesMax,
  });
}
