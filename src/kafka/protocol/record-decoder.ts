/** Decodes the records in the decompressed body of one batch, and copies their keys and values. */
import type { Stored } from '../../ports/log';
import { at } from './batch-writer';
import { readI64 } from './primitives';

/** Maximum number of headers decoded per record; the rest are skipped. Only records of other producers have more. */
const headersMax = 100;

/** Bit of a batch's attributes: the broker has set the timestamps. */
const isLogAppendTime = 1 << 3;
/** Maximum length of a varint of 32 and of 64 bits. */
const intBytes = 5;
const longBytes = 10;
const timeMsMax = 8.64e15;

/** One batch, and the part of its records to return. */
export interface BatchPart {
  /** Bytes of the batch, of which only the fields before the records are read. */
  readonly bytes: Buffer;
  readonly partition: number;
  /** First offset to return. */
  readonly from: number;
}

const nothing = Buffer.alloc(0);
/**
 * Size of the blocks into which records are copied; a larger record gets a block of its size. A record that a caller
 * keeps then retains only its block in memory, not the whole response.
 */
const copyBytes = 16 * 1024;

/** Header names of busbar by their bytes, read as one number. The lookup avoids decoding a string for each header. */
const knownNames = new Map(
  ['bus', 'to', 'from', 'post'].map((name) => [Buffer.from(name).readUIntBE(0, name.length), name]),
);
const knownBytesMax = 4;

/** Decoder of a batch's decompressed records. Each length is checked against the bytes that are left. */
export class RecordDecoder {
  #at = 0;
  /** Copy of the bytes from `#copiedFrom` up to `#copiedTo`. */
  #copy: Buffer = nothing;
  #copiedFrom = 0;
  #copiedTo = 0;
  constructor(readonly bytes: Buffer) {}

  readAll({ bytes: batch, partition, from }: BatchPart, attributes: number, records: Stored[]): void {
    const baseOffset = readI64(batch, at.baseOffset);
    const isAppendTime = (attributes & isLogAppendTime) !== 0;
    // With LogAppendTime the senders' deltas are still present, in any unit, and must be ignored.
    const batchTime = timeOf(batch, isAppendTime ? at.maxTime : at.baseTime);
    const count = batch.readInt32BE(at.count);
    for (let i = 0; i < count; i++) {
      const size = this.varint();
      const end = this.#at + size;
      if (size < 0 || end > this.bytes.length) throw new RangeError(`record ${i} ends outside of the batch`);
      this.#at++; // attributes, which Kafka does not use yet
      const delta = this.varint(longBytes);
      const timeMs = isAppendTime ? batchTime : withinTime(batchTime + delta);
      const offset = baseOffset + this.varint();
      if (offset >= from) {
        if (end > this.#copiedTo) this.#copyUpTo(end);
        const key = this.#copied();
        const value = this.#copied();
        records.push({ partition, offset, timeMs, key, value, headers: this.#headers() });
      }
      if (this.#at > end) throw new RangeError(`record ${i} is longer than its length field`);
      this.#at = end;
    }
  }

  /** Copies a block from the current position on, at least up to `end`. */
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
      // Join duplicate `bus` headers, so that neither of them is accepted as the envelope.
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

  /** Returns a view of the bytes; null if the length is negative. */
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

  /** Reads a zigzag varint. The result is approximate beyond 2^53, which only timestamps of other producers reach. */
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

/** Limits a timestamp to the last one that `Date` supports, and to -1, which stands for no timestamp. */
function withinTime(timeMs: number): number {
  return Math.min(Math.max(timeMs, -1), timeMsMax);
}
function timeOf(batch: Buffer, place: number): number {
  return withinTime(batch.readInt32BE(place) * 2 ** 32 + batch.readUInt32BE(place + 4));
}
