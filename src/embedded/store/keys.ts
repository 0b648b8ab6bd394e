/** Builds the keys of the stores: a letter for the kind, names that end with a zero byte, and big-endian numbers. */
import { createHash } from 'node:crypto';
import { BusError } from '../../base/errors';

/** Longest name of a topic or group in bytes, so that two of them fit into a key. */
const nameBytesMax = 255;

/**
 * Kinds of keys. Those of the durable file are listed first, then those of the live file, which is discarded at each
 * boot.
 */
export const kinds = {
  layout: 'A',
  /** Random id of the log, which the mark beside it repeats. */
  identity: 'I',
  topic: 'T',
  /** End of a partition. Version = the offset that the next record gets. */
  end: 'E',
  /** Start of a partition. Version = the first offset that exists. */
  start: 'S',
  record: 'R',
  /** Newest offset of each key of a compacted topic. */
  newest: 'K',
  /** Tombstones by offset. */
  tombstone: 'X',
  group: 'G',
  /** Owner of a partition. Version = epoch. */
  owner: 'O',
  commit: 'C',

  /** Lease of an open log. Version = number of renewals. */
  lease: 'L',
  member: 'M',
  /** Processes to ring when records are appended to a topic. */
  watch: 'W',
} as const;
export type Kind = (typeof kinds)[keyof typeof kinds];

/** Returns the key made of the kind, names, and further bytes. */
export function keyOf(kind: Kind, names: readonly string[], ...rest: readonly Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.from(`${kind}${names.map((name) => `${name}\0`).join('')}`), ...rest]);
}
/**
 * Returns the first key after all those that start with `prefix`. The last byte of a prefix ends a name or is a letter,
 * so it is never 255.
 */
export function behind(prefix: Uint8Array): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end[end.length - 1] ?? 0) + 1;
  return end;
}
/** Returns the names in a key that has no bytes after them. */
export function namesIn(key: Buffer): readonly string[] {
  return key.toString('utf8', 1).split('\0').slice(0, -1);
}
export function partitionBytes(partition: number): Buffer {
  const bytes = Buffer.allocUnsafe(2);
  bytes.writeUInt16BE(partition);
  return bytes;
}
export function partitionKey(kind: Kind, names: readonly string[], partition: number): Buffer {
  return keyOf(kind, names, partitionBytes(partition));
}

/**
 * Builder of the keys of one partition's records. The prefix is built once, since thousands of keys are needed per
 * second.
 */
export class PlaceKeys {
  private readonly prefix: Buffer;

  constructor(kind: Kind, topic: string, partition: number) {
    this.prefix = partitionKey(kind, [topic], partition);
  }
  at(offset: number): Buffer {
    const key = Buffer.allocUnsafe(this.prefix.length + 6);
    this.prefix.copy(key);
    key.writeUIntBE(offset, this.prefix.length, 6);
    return key;
  }
  /** Changes `key`, which `at` returned, to the key of another offset. */
  move(key: Buffer, offset: number): void {
    key.writeUIntBE(offset, this.prefix.length, 6);
  }
  offsetOf(key: Buffer): number {
    return key.readUIntBE(this.prefix.length, 6);
  }
}

/**
 * Returns the key under which a compacted topic stores the newest offset of `key`. Keys of any length are hashed to 32
 * bytes.
 */
export function newestKey(topic: string, partition: number, key: Uint8Array): Buffer {
  return keyOf(kinds.newest, [topic], partitionBytes(partition), createHash('sha256').update(key).digest());
}

/** Throws Config for a name that does not fit into a key. */
export function checkName(what: 'topic' | 'group', name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes > 0 && bytes <= nameBytesMax && !name.includes('\0')) return;
  const message = `${what} '${name}': a name has 1 to ${nameBytesMax} bytes and no zero byte`;
  const remedy = `Choose a shorter ${what} name: shorten ns, the name of the module, or that of the queue.`;
  throw new BusError('Config', message, { faults: [message] }, undefined, remedy);
}
