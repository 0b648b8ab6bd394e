/** Creates and finds topics, and returns the bounds of their partitions. */
import { BusError } from '../../base/errors';
import type { Store } from '../../disk/lmdb';
import type { Bounds, Topic } from '../../ports/log';
import { behind, checkName, keyOf, kinds, partitionKey } from './keys';

/** Value of entries of which only the version matters. */
export const mark = Buffer.from([1]);

const countBytes = 6;
/** Encodes a number of bytes as the value of an end or a start. */
export function encodeCount(count: number | undefined): Buffer {
  if (count === undefined) return mark;
  const bytes = Buffer.allocUnsafe(countBytes);
  bytes.writeUIntBE(count, 0, countBytes);
  return bytes;
}
function decodeCount(value: Buffer | undefined): number | undefined {
  return value?.length === countBytes ? value.readUIntBE(0, countBytes) : undefined;
}

/** End or start of a partition. */
export interface Edge {
  readonly offset: number;
  /**
   * Bytes of all records that were ever before it. Undefined in compacted topics, and in partitions to which a version
   * without the count has written.
   */
  readonly bytes: number | undefined;
}
/** Most partitions of a topic, since their numbers take two bytes of a key. */
const partitionsMax = 65_535;

export class Topics {
  /** Topics that were read. They are never removed, and only their retention is raised, so the rest stays valid. */
  private readonly known = new Map<string, Topic>();

  /** Keys of the bounds, built once because every read needs them. */
  private readonly keys = new Map<string, { readonly start: Buffer; readonly end: Buffer }>();

  constructor(private readonly store: Store) {}

  async ensure(topic: Topic): Promise<Topic> {
    checkName('topic', topic.name);
    if (!Number.isInteger(topic.partitions) || topic.partitions < 1 || topic.partitions > partitionsMax) {
      throw fault(
        `topic '${topic.name}': partitions must be 1 to ${partitionsMax}, not ${topic.partitions}`,
        `Set the number of partitions to 1 to ${partitionsMax}.`,
      );
    }
    const there = this.find(topic.name) ?? (await this.create(topic));
    if (there.partitions === topic.partitions) return keepsLonger(topic, there) ? this.raise(topic) : there;
    throw fault(
      `topic '${topic.name}' has ${there.partitions} partitions, but the code requires ${topic.partitions}: ` +
        'keep the number, or use another queue name and drain the old queue',
      `Keep ${there.partitions} partitions, or use another queue name and drain the old queue.`,
    );
  }

  private async create(topic: Topic): Promise<Topic> {
    const { name, partitions, compacted, keepMs } = topic;
    const key = keyOf(kinds.topic, [name]);
    const none = encodeCount(compacted ? undefined : 0);
    const bounds = Array.from({ length: partitions }, (_, partition) => [
      { key: partitionKey(kinds.start, [name], partition), value: none, version: 0 },
      { key: partitionKey(kinds.end, [name], partition), value: none, version: 0 },
    ]).flat();
    const value = Buffer.from(JSON.stringify({ name, partitions, compacted, keepMs }));
    // If another process created the topic first, its topic is the one that counts.
    await this.store.within(this.store.write({ key, version: null }, [{ key, value }, ...bounds]));
    return this.get(name);
  }

  /** Raises the retention of an existing topic, unless another process has done it. */
  private async raise({ name, keepMs }: Topic): Promise<Topic> {
    const key = keyOf(kinds.topic, [name]);
    for (;;) {
      this.store.refresh();
      const entry = this.store.entry(key);
      if (entry === undefined) throw fault(`topic '${name}' does not exist`, noTopicRemedy);
      const there = parseTopic(entry.value);
      const topic = keepsLonger({ keepMs }, there) ? { ...there, keepMs } : there;
      const change = { key, value: Buffer.from(JSON.stringify(topic)), version: entry.version + 1 };
      const isDone =
        topic === there || (await this.store.within(this.store.write({ key, version: entry.version }, [change])));
      if (!isDone) continue; // another process changed it first
      this.known.set(name, topic);
      return topic;
    }
  }

  /** Returns a topic. Throws Config when it does not exist. */
  get(name: string): Topic {
    const topic = this.find(name);
    if (topic === undefined) throw fault(`topic '${name}' does not exist`, noTopicRemedy);
    return topic;
  }

  private find(name: string): Topic | undefined {
    const known = this.known.get(name);
    if (known !== undefined) return known;
    this.store.refresh();
    const entry = this.store.entry(keyOf(kinds.topic, [name]));
    if (entry === undefined) return undefined;
    const topic = parseTopic(entry.value);
    this.known.set(name, topic);
    return topic;
  }

  all(): readonly Topic[] {
    const topics: Topic[] = [];
    const prefix = keyOf(kinds.topic, []);
    this.store.refresh();
    this.store.scan(prefix, behind(prefix), (_, entry) => topics.push(parseTopic(entry.value)) > 0);
    return topics;
  }

  /** Returns the bounds of a partition as of the last refresh. Throws Config when the partition does not exist. */
  bounds(topic: string, partition: number): Bounds {
    const keys = this.keysOf(topic, partition);
    const start = this.store.version(keys.start);
    const end = this.store.version(keys.end);
    if (start === undefined || end === undefined) throw noPartition(topic, partition);
    return { partition, start, end };
  }

  /** Returns the start or the end of a partition with its bytes, as of the last refresh. Throws like `bounds`. */
  edge(topic: string, partition: number, which: 'start' | 'end'): Edge {
    const entry = this.store.entry(this.keysOf(topic, partition)[which]);
    if (entry === undefined) throw noPartition(topic, partition);
    return { offset: entry.version, bytes: decodeCount(entry.value) };
  }
  /** Returns the bytes of all records of a topic, without the partitions that are not counted. */
  storedBytes(topic: string): number {
    let sum = 0;
    for (let partition = 0; partition < this.get(topic).partitions; partition++) {
      const [start, end] = [this.edge(topic, partition, 'start'), this.edge(topic, partition, 'end')];
      sum += (end.bytes ?? 0) - (start.bytes ?? 0);
    }
    return sum;
  }

  /** Returns whether the partition still ends at `end`. It is cheap enough to be polled. */
  endsAt(topic: string, partition: number, end: number): boolean {
    return this.store.is(this.keysOf(topic, partition).end, end);
  }

  private keysOf(topic: string, partition: number): { readonly start: Buffer; readonly end: Buffer } {
    const id = `${partition} ${topic}`;
    let keys = this.keys.get(id);
    if (keys === undefined) {
      keys = {
        start: partitionKey(kinds.start, [topic], partition),
        end: partitionKey(kinds.end, [topic], partition),
      };
      this.keys.set(id, keys);
    }
    return keys;
  }
}

/** Returns whether `wanted` keeps records by age, and longer. A retention is never lowered: others can need it. */
function keepsLonger(wanted: Pick<Topic, 'keepMs'>, there: Topic): boolean {
  return wanted.keepMs !== null && there.keepMs !== null && wanted.keepMs > there.keepMs;
}
function parseTopic(value: Buffer): Topic {
  return JSON.parse(value.toString()) as Topic; // only `create` and `raise` above write these
}

function noPartition(topic: string, partition: number): BusError<'Config'> {
  return fault(
    `topic '${topic}' has no partition ${partition}`,
    'Use a partition below the number that the topic has.',
  );
}
const noTopicRemedy = 'Start an instance that serves the module or publishes its events, which creates the topic.';
function fault(message: string, remedy: string): BusError<'Config'> {
  return new BusError('Config', message, { faults: [message] }, undefined, remedy);
}
