/** Reads record batches out of a fetch answer: in time linear in their bytes, whatever they hold. */
import { sayError } from '../../base/errors';
import type { Stored } from '../../ports/log';
import { at } from './batch-writer';
import { readI64 } from './primitives';
import { crc32c } from './crc32c';
import { WireError } from './errors';
import { UnknownCodecError, unpack } from './compression';

/** Beyond these the headers of a record are left where they are: whoever writes more is not one of us. */
const headersMax = 100;

/** Of one batch; the smallest record takes seven bytes, and packed next to nothing. */
const batchRecordsMax = 200_000;
/** Of one answer: whatever is packed in it, reading it must not hold up everything else. Then it ends with a batch. */
const answerBytesMax = 16 * 1024 * 1024;
const answerRecordsMax = 100_000;

/** What the partitions of one answer have taken so far, unpacked. */
export class Taken {
  bytes = 0;
  records = 0;
  get enough(): boolean {
    return this.bytes >= answerBytesMax || this.records >= answerRecordsMax;
  }
}

export interface Aborted {
  readonly producer: number;
  readonly first: number;
}
export interface ReadRecords {
  readonly records: readonly Stored[];
  readonly next: number;
  /**
   * The batch at `next` cannot be read. CORRUPT_MESSAGE: as it came; it may be whole where it lies · UNDECODABLE: as it
   * was written · UNSUPPORTED_COMPRESSION_TYPE: by this Node; another one may. `until` is where to go on without it.
   */
  readonly error: WireError | null;
}

const isTransactional = 1 << 4;
const isControl = 1 << 5;
const isLogAppendTime = 1 << 3;
/** The longest numbers of 32 and of 64 bits. */
const intBytes = 5;
const longBytes = 10;
const timeMsMax = 8.64e15;

/**
 * Records of `bytes` from offset `from` on, up to the end of the last batch that is there wholly, or of the one with
 * which the answer has brought enough.
 */
export function readRecords(
  bytes: Buffer,
  partition: number,
  from: number,
  aborted: readonly Aborted[] = [],
  taken = new Taken(),
): ReadRecords {
  const records: Stored[] = [];
  const waiting = aborted.toSorted((a, b) => a.first - b.first);
  const dropped = new Set<number>();
  let next = from;
  for (let start = 0; start + at.records <= bytes.length && !taken.enough;) {
    const length = bytes.readInt32BE(start + at.length);
    const end = start + at.leaderEpoch + length;
    if (end > bytes.length) break; // the broker cut the last one
    const damage = damageOf(bytes, start);
    if (damage !== undefined) return { records, next, error: damaged(damage, bytes, start, next) };
    let last: number | undefined;
    try {
      last = lastOf(bytes, start);
      while (waiting[0] !== undefined && waiting[0].first <= last) dropped.add(waiting.shift()?.producer ?? -1);
      readBatch({ bytes: bytes.subarray(start, end), partition, from: next, taken }, dropped, records);
    } catch (error) {
      return { records, next, error: undecodable(error, next, last) };
    }
    next = Math.max(next, last + 1);
    start = end;
  }
  return { records, next, error: null };
}

/** What shows that the batch at `start`, which is there wholly, is not as it was written. */
function damageOf(bytes: Buffer, start: number): string | undefined {
  const length = bytes.readInt32BE(start + at.length);
  if (length < at.records - at.leaderEpoch) return `a batch of ${length} bytes`;
  const version = bytes.readInt8(start + at.version);
  if (version !== 2) return `records of version ${version}`;
  const checksum = crc32c(bytes, start + at.attributes, start + at.leaderEpoch + length);
  return checksum === bytes.readUInt32BE(start + at.checksum) ? undefined : 'bad checksum';
}

/**
 * Of a damaged batch nothing is believed alone, least of all where it ends: records that are whole may lie before that.
 * So it ends where the next whole one begins, else where two of its numbers say, else it is one offset.
 */
function damaged(damage: string, bytes: Buffer, start: number, next: number): WireError {
  const delta = bytes.readInt32BE(start + at.lastDelta);
  const last = offsetAt(bytes, start) + delta;
  const agrees = delta >= 0 && delta < batchRecordsMax && bytes.readInt32BE(start + at.count) === delta + 1;
  const until = wholeBehind(bytes, start, next) ?? (agrees && last >= next ? last + 1 : next + 1);
  return new WireError('CORRUPT_MESSAGE', `the batch at ${next}: ${damage}`, { until });
}
/** Where the next batch begins, if it is there and whole. */
function wholeBehind(bytes: Buffer, start: number, next: number): number | undefined {
  const behind = start + at.leaderEpoch + bytes.readInt32BE(start + at.length);
  if (behind <= start || behind + at.records > bytes.length) return undefined;
  const isThere = behind + at.leaderEpoch + bytes.readInt32BE(behind + at.length) <= bytes.length;
  if (!isThere || damageOf(bytes, behind) !== undefined) return undefined;
  const offset = offsetAt(bytes, behind);
  return offset > next && Number.isSafeInteger(offset) ? offset : undefined;
}
function offsetAt(bytes: Buffer, start: number): number {
  return Number(bytes.readBigInt64BE(start + at.baseOffset));
}

/** The offset of the last record that the batch at `start` holds, or once held. */
function lastOf(bytes: Buffer, start: number): number {
  const delta = bytes.readInt32BE(start + at.lastDelta);
  if (delta < 0) throw new RangeError(`a batch that ends ${-delta} before it begins`);
  return readI64(bytes, start + at.baseOffset) + delta;
}

function undecodable(error: unknown, next: number, last: number | undefined): WireError {
  const what = last === undefined ? `the batch at ${next}` : `the batch at ${next} to ${last}`;
  const until = last !== undefined && last >= next ? { until: last + 1 } : {};
  const code = error instanceof UnknownCodecError ? 'UNSUPPORTED_COMPRESSION_TYPE' : 'UNDECODABLE';
  return new WireError(code, `${what}: ${sayError(error)}`, { ...until, cause: error });
}

interface Batch {
  readonly bytes: Buffer;
  readonly partition: number;
  readonly from: number;
  readonly taken: Taken;
}

/** Adds the records to give out. Throws when it cannot be read; then it added none. */
function readBatch(batch: Batch, dropped: Set<number>, records: Stored[]): void {
  const { bytes } = batch;
  const attributes = bytes.readInt16BE(at.attributes);
  const producer = readI64(bytes, at.producer);
  const count = bytes.readInt32BE(at.count);
  if (count > batchRecordsMax) throw new RangeError(`${count} records in a batch, more than ${batchRecordsMax}`);
  const body = unpack(bytes.subarray(at.records), attributes & 7);
  batch.taken.bytes += body.length;
  batch.taken.records += Math.max(0, count);
  if (attributes & isControl) return readMarker(body, producer, dropped);
  if (attributes & isTransactional && dropped.has(producer)) return;
  const before = records.length;
  try {
    new Body(body).readAll(batch, attributes, records);
  } catch (error) {
    records.length = before;
    throw error;
  }
}

/** The one record of a control batch: its key is a version and what became of the transaction, 0 being aborted. */
function readMarker(body: Buffer, producer: number, dropped: Set<number>): void {
  const marker = new Body(body);
  marker.varint();
  marker.skip(1);
  marker.varint();
  marker.varint();
  const key = marker.blob();
  if (key !== null && key.length >= 4 && key.readInt16BE(2) === 0) dropped.delete(producer);
}

const nothing = Buffer.alloc(0);
/** Records are copied out of the answer so many bytes at once: whoever keeps one keeps no more alive than that. */
const copyBytes = 16 * 1024;

/** Names of our own headers by their bytes as a number, so that no text is made of them. */
const knownNames = new Map(
  ['bus', 'to', 'from', 'post'].map((name) => [Buffer.from(name).readUIntBE(0, name.length), name]),
);
const knownBytesMax = 4;

/** The records of one batch. Every length is checked against what is there. */
class Body {
  #at = 0;
  /** A copy of what lies from `#copiedFrom` up to `#copiedTo`. */
  #copy: Buffer = nothing;
  #copiedFrom = 0;
  #copiedTo = 0;
  constructor(readonly bytes: Buffer) {}

  readAll({ bytes: batch, partition, from }: Batch, attributes: number, records: Stored[]): void {
    const baseOffset = readI64(batch, at.baseOffset);
    const isAppendTime = (attributes & isLogAppendTime) !== 0;
    // With the time of the broker the sender's are still there, whatever unit they are in.
    const batchTime = timeOf(batch, isAppendTime ? at.maxTime : at.baseTime);
    const count = batch.readInt32BE(at.count);
    for (let i = 0; i < count; i++) {
      const size = this.varint();
      const end = this.#at + size;
      if (size < 0 || end > this.bytes.length) throw new RangeError(`record ${i} ends outside of the batch`);
      this.#at++; // attributes, of which there are none
      const delta = this.varint(longBytes);
      const timeMs = isAppendTime ? batchTime : withinTime(batchTime + delta);
      const offset = baseOffset + this.varint();
      if (offset >= from) {
        if (end > this.#copiedTo) this.#copyUpTo(end);
        const key = this.#copied();
        const value = this.#copied();
        records.push({ partition, offset, timeMs, key, value, headers: this.#headers() });
      }
      if (this.#at > end) throw new RangeError(`record ${i} is longer than it says`);
      this.#at = end;
    }
  }

  /** Copies from here on, at least up to `end`. */
  #copyUpTo(end: number): void {
    this.#copiedFrom = this.#at;
    this.#copiedTo = Math.min(this.bytes.length, Math.max(end, this.#at + copyBytes));
    this.#copy = Buffer.from(this.bytes.subarray(this.#copiedFrom, this.#copiedTo));
  }
  #copied(): Buffer | null {
    const length = this.varint();
    if (length < 0) return null;
    const from = this.skip(length) - this.#copiedFrom;
    return this.#copy.subarray(from, from + length);
  }

  #headers(): Record<string, string> {
    const headers: Record<string, string> = {};
    const count = Math.min(this.varint(), headersMax);
    for (let i = 0; i < count; i++) {
      const name = this.#name();
      const text = this.#text();
      const before = headers[name];
      // Both lines, so that neither of them is taken for the envelope.
      headers[name] = name === 'bus' && before !== undefined ? `${before}\n${text}` : text;
    }
    return headers;
  }

  #name(): string {
    const before = this.#at;
    const length = this.varint();
    if (length > 0 && length <= knownBytesMax && length <= this.bytes.length - this.#at) {
      const known = knownNames.get(this.bytes.readUIntBE(this.#at, length));
      if (known?.length === length) {
        this.#at += length;
        return known;
      }
    }
    this.#at = before;
    return this.#text();
  }

  #text(): string {
    const length = this.varint();
    if (length <= 0) return '';
    const from = this.skip(length);
    return this.bytes.toString('utf8', from, from + length);
  }

  /** A view; null for null. */
  blob(): Buffer | null {
    const length = this.varint();
    if (length < 0) return null;
    const from = this.skip(length);
    return this.bytes.subarray(from, from + length);
  }

  skip(count: number): number {
    const from = this.#at;
    if (count > this.bytes.length - from)
      throw new RangeError(`${count} bytes announced, ${this.bytes.length - from} there`);
    this.#at = from + count;
    return from;
  }

  /** With its sign in the lowest bit. Beyond 2^53, where only times of others lie, it is about right. */
  varint(bytesMax = intBytes): number {
    const first = this.bytes[this.#at];
    if (first !== undefined && first < 128) {
      this.#at++;
      return (first >>> 1) ^ -(first & 1);
    }
    let value = 0;
    for (let i = 0, scale = 1; i < bytesMax; i++, scale *= 128) {
      const byte = this.bytes[this.#at++];
      if (byte === undefined) throw new RangeError('a number ends outside of the batch');
      value += (byte & 127) * scale;
      if (byte < 128) return ((first ?? 0) & 1) === 0 ? value / 2 : -(value + 1) / 2;
    }
    throw new RangeError(`a number of more than ${bytesMax} bytes`);
  }
}

/** What no date can say is the last one that can. -1 is none. */
function withinTime(timeMs: number): number {
  return Math.min(Math.max(timeMs, -1), timeMsMax);
}
function timeOf(batch: Buffer, place: number): number {
  return withinTime(batch.readInt32BE(place) * 2 ** 32 + batch.readUInt32BE(place + 4));
}
