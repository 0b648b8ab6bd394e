/** Under which keys the log keeps what: a letter for the kind, names ended by a zero byte, numbers high byte first. */
import { createHash } from 'node:crypto';
import { BusError } from '../../base/errors';

/** Longest name of a topic or group, in bytes; two of them fit into a key. */
const nameBytesMax = 255;

/** The kinds. Those of the durable file first, then those of the file that is thrown away at each boot. */
export const kinds = {
  layout: 'A',
  /** A random name of the log, which the file beside it repeats. */
  identity: 'I',
  topic: 'T',
  /** Version = the offset that the next record will get. */
  end: 'E',
  /** Version = the first offset that is there. */
  start: 'S',
  record: 'R',
  /** Newest offset of each key of a compacted topic. */
  newest: 'K',
  /** Tombstones by offset. */
  tombstone: 'X',
  group: 'G',
  /** Who owns a partition; version = epoch. */
  owner: 'O',
  commit: 'C',

  /** One sign of life per open log; version = how often it was renewed. */
  lease: 'L',
  member: 'M',
  /** Who wants to hear of news in a topic. */
  watch: 'W',
} as const;
export type Kind = (typeof kinds)[keyof typeof kinds];

/** A key from the kind, names, and what follows them. */
export function keyOf(kind: Kind, names: readonly string[], ...rest: readonly Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.from(`${kind}${names.map((name) => `${name}\0`).join('')}`), ...rest]);
}
/** The first key behind all that start with `prefix`. Its last byte is never 255: it ends a name or is a letter. */
export function behind(prefix: Uint8Array): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end[end.length - 1] ?? 0) + 1;
  return end;
}
/** The names in a key that has nothing behind them. */
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

/** Keys of one partition's records; made once, since thousands are needed in a second. */
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
  /** Makes `key`, which `at` gave, the key of another offset. */
  move(key: Buffer, offset: number): void {
    key.writeUIntBE(offset, this.prefix.length, 6);
  }
  offsetOf(key: Buffer): number {
    return key.readUIntBE(this.prefix.length, 6);
  }
}

/** Under which a compacted topic notes where the newest record of `key` is; keys of any length become 32 bytes. */
export function newestKey(topic: string, partition: number, key: Uint8Array): Buffer {
  return keyOf(kinds.newest, [topic], partitionBytes(partition), createHash('sha256').update(key).digest());
}

/** Refuses names that do not fit into a key. */
export function checkName(what: 'topic' | 'group', name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes > 0 && bytes <= nameBytesMax && !name.includes('\0')) return;
  const message = `${what} '${name}': a name has 1 to ${nameBytesMax} bytes and no zero byte`;
  const remedy = `Choose a shorter ${what} name: shorten ns, the name of the module, or that of the queue.`;
  throw new BusError('Config', message, { faults: [message] }, undefined, remedy);
}
