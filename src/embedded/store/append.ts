/** Appends records to partitions. Calls of the same moment share one transaction, in the order of the calls. */
import type { Clock, Random, Timer } from '../../base/clock';
import { sleep } from '../../base/clock';
import { Capacity } from '../../base/bounded';
import { BusError, inPart } from '../../base/errors';
import type { Change, Store } from '../../disk/lmdb';
import type { Append, Place, Topic } from '../../ports/log';
import { encodeAppends } from './encode-appends';
import { kinds, newestKey, partitionKey, PlaceKeys } from './keys';
import { edgeAfter, recordChanges } from './record-changes';
import { encodeCount, mark, type Edge, type Topics } from './topics';

/** A transaction blocks every other writer, so batches stay short. */
const batchRecordsMax = 1000;
const batchBytesMax = 4 * 1024 * 1024;
/**
 * Records that can wait in one process to be written. More are rejected as Overloaded, so that memory stays bounded.
 */
const waitingMax = { count: 200_000, bytes: 64 * 1024 * 1024 };
const retryAfterMs = 100;
/** Longest time that a call can wait for its turn and its write. */
const appendMs = 10_000;
/**
 * Conflicts in a row after which a partition pauses briefly. Without the pause, many processes that append to it would
 * keep conflicting.
 */
const refusalsBeforePause = 20;
const pauseMsMax = 5;

/** One encoded record that waits. */
interface Item {
  readonly call: Call;
  /** Position of the record in its call. */
  readonly index: number;
  readonly key: Uint8Array | null;
  readonly tombstone: boolean;
  readonly bytes: Buffer;
}
interface Call {
  readonly places: Place[];
  left: number;
  /** Number of records that are being written, or have been written. */
  writing: number;
  over: boolean;
  timer: Timer;
  done(places: readonly Place[]): void;
  fail(error: unknown): void;
}
/** Queue of one partition. It writes one batch at a time; records that arrive meanwhile form the next one. */
interface PartitionQueue {
  readonly topic: Topic;
  readonly partition: number;
  readonly keys: PlaceKeys;
  readonly endKey: Buffer;
  readonly waiting: Item[];
  /** End of the partition when this process last knew it; undefined if it must be read. */
  end: Edge | undefined;
  busy: boolean;
}

export interface AppenderParts {
  readonly store: Store;
  readonly topics: Topics;
  readonly clock: Clock;
  readonly random: Random;
  /** Called when all processes can see the new records of a topic. */
  readonly appended: (topic: string) => void;
}

export class Appender {
  private readonly queues = new Map<string, PartitionQueue>();
  private readonly running = new Set<Promise<void>>();
  private readonly capacity = new Capacity(waitingMax);

  constructor(private readonly parts: AppenderParts) {}

  /**
   * Appends records as {@link Log.append} describes. Rejects with Overloaded when too many wait; nothing of the call is
   * then written.
   */
  append(name: string, records: readonly Append[]): Promise<readonly Place[]> {
    const topic = this.parts.topics.get(name);
    const { encoded, bytes } = encodeAppends(topic, records, this.parts.clock.now());
    this.reserve(topic.name, records.length, bytes);
    if (records.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const call = this.makeCall(topic.name, records.length, resolve, reject);
      records.forEach((record, index) => {
        const queue = this.queueOf(topic, record.partition);
        // `encodeAppends` returned one buffer for each record.
        const block = encoded[index] as Buffer;
        const tombstone = record.value === null;
        queue.waiting.push({ call, index, key: copyOf(topic, record.key), tombstone, bytes: block });
        this.start(queue);
      });
    });
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

  /**
   * Returns the error of a call that timed out. Records still waiting are dropped, so a call without started writes is
   * known to be unwritten.
   */
  private late(topic: string, { writing }: Call): BusError<'Unreachable'> {
    const { store } = this.parts;
    const [outcome, what] =
      writing === 0
        ? (['not-sent', 'nothing was written'] as const)
        : (['unknown', 'it can have been written'] as const);
    const cause = `appending to ${topic} took longer than ${appendMs} ms, ${what}; ${store.holder()}`;
    return new BusError('Unreachable', `${store.path}: ${cause}`, { outcome, waitedMs: appendMs, cause });
  }

  private queueOf(topic: Topic, partition: number): PartitionQueue {
    const id = `${partition} ${topic.name}`;
    const there = this.queues.get(id);
    if (there !== undefined) return there;
    const keys = new PlaceKeys(kinds.record, topic.name, partition);
    const endKey = partitionKey(kinds.end, [topic.name], partition);
    const queue: PartitionQueue = { topic, partition, keys, endKey, waiting: [], end: undefined, busy: false };
    this.queues.set(id, queue);
    return queue;
  }

  private start(queue: PartitionQueue): void {
    if (queue.busy) return;
    queue.busy = true;
    // Start after the current call stack, so that all appends of this moment share a batch.
    const run = Promise.resolve()
      .then(() => this.run(queue))
      .finally(() => this.running.delete(run));
    this.running.add(run);
  }

  /** Resolves when no write is running, or after the time limit for writes. */
  async close(): Promise<void> {
    await this.parts.store.within(Promise.all(this.running)).catch(() => undefined);
  }

  /** Writes until nothing waits. Never rejects, because each batch settles the calls of its items. */
  private async run(queue: PartitionQueue): Promise<void> {
    let refusals = 0;
    for (let batch = this.takeBatch(queue); batch.length > 0; batch = this.takeBatch(queue)) {
      if (await this.tryWrite(queue, batch)) {
        refusals = 0;
        continue;
      }
      // Another process wrote first. Nothing was written, so this batch is retried before the records that arrived
      // meanwhile.
      queue.waiting.unshift(...batch);
      refusals += 1;
      if (refusals > refusalsBeforePause) await sleep(this.parts.clock, this.parts.random.next() * pauseMsMax);
    }
    queue.busy = false;
  }

  /**
   * Returns the next batch. Items of calls that have failed are dropped here, so that they are not written after their
   * time limit.
   */
  private takeBatch(queue: PartitionQueue): Item[] {
    const batch: Item[] = [];
    let bytes = 0;
    let taken = 0;
    for (const item of queue.waiting) {
      if (batch.length >= batchRecordsMax || (bytes >= batchBytesMax && batch.length > 0)) break;
      taken += 1;
      if (item.call.over) this.free(item);
      else {
        batch.push(item);
        bytes += item.bytes.length;
      }
    }
    queue.waiting.splice(0, taken);
    return batch;
  }

  /**
   * Returns true if the batch is settled: written or failed. Returns false if another process wrote first and the batch
   * must be retried.
   */
  private async tryWrite(queue: PartitionQueue, batch: readonly Item[]): Promise<boolean> {
    try {
      const before = queue.topic.compacted ? this.readEnd(queue) : (queue.end ?? this.readEnd(queue));
      const first = before.offset;
      const end = edgeAfter(before, batch);
      const changes = queue.topic.compacted
        ? this.compacting(queue, batch, first)
        : recordChanges(queue.keys, batch, before);
      changes.push({ key: queue.endKey, value: encodeCount(end.bytes), version: end.offset });
      for (const { call } of batch) call.writing += 1;
      const written = await this.parts.store.write({ key: queue.endKey, version: first }, changes, 'append');
      queue.end = written ? end : undefined;
      if (written) this.settle(queue, batch, first);
      else for (const { call } of batch) call.writing -= 1;
      return written;
    } catch (error) {
      queue.end = undefined;
      for (const item of batch) this.free(item);
      const counts = new Map<Call, number>();
      for (const { call } of batch) counts.set(call, (counts.get(call) ?? 0) + 1);
      // Records of the call in other partitions can be in the log already, or be written later.
      for (const [call, count] of counts) call.fail(count < call.places.length ? inPart(error) : error);
      return true;
    }
  }

  private readEnd(queue: PartitionQueue): Edge {
    this.parts.store.refresh();
    return this.parts.topics.edge(queue.topic.name, queue.partition, 'end');
  }

  private settle(queue: PartitionQueue, batch: readonly Item[], first: number): void {
    this.parts.appended(queue.topic.name);
    batch.forEach((item, index) => {
      this.free(item);
      const { call } = item;
      call.places[item.index] = { partition: queue.partition, offset: first + index };
      call.left -= 1;
      if (call.left === 0 && !call.over) call.done(call.places);
    });
  }

  private free(item: Item): void {
    this.capacity.remove(item.bytes.length);
  }

  /**
   * Returns the changes for a batch of a compacted topic. They remove the older record of each key in the same
   * transaction. Its offset was read together with the end that guards the transaction, so it is still valid.
   */
  private compacting(queue: PartitionQueue, batch: readonly Item[], first: number): Change[] {
    const newest = new Map<string, number>();
    const changes: Change[] = [];
    batch.forEach((item, index) => {
      const offset = first + index;
      const indexKey = newestKey(queue.topic.name, queue.partition, item.key ?? mark);
      const id = indexKey.toString('latin1');
      const older = newest.get(id) ?? this.parts.store.version(indexKey);
      newest.set(id, offset);
      if (older !== undefined) {
        changes.push({ key: queue.keys.at(older), value: null });
        changes.push({ key: tombstoneKey(queue, older), value: null });
      }
      changes.push({ key: queue.keys.at(offset), value: item.bytes });
      changes.push({ key: indexKey, value: mark, version: offset });
      if (item.tombstone) changes.push({ key: tombstoneKey(queue, offset), value: indexKey });
    });
    return changes;
  }
}

function tombstoneKey(queue: PartitionQueue, offset: number): Buffer {
  return new PlaceKeys(kinds.tombstone, queue.topic.name, queue.partition).at(offset);
}

/** Copies the key if the topic is compacted. Other topics do not need it once the record is encoded. */
function copyOf(topic: Topic, key: Uint8Array | null): Uint8Array | null {
  return topic.compacted && key !== null ? Uint8Array.from(key) : null;
}
