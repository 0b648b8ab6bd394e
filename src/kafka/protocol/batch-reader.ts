/** Decodes the record batches of a fetch response, in time linear in its bytes even if they are damaged or hostile. */
import { errorMessage } from '../../base/errors';
import type { Stored } from '../../ports/log';
import { at } from './batch-writer';
import { readI64 } from './primitives';
import { crc32c } from './crc32c';
import { KafkaError } from './errors';
import { UnknownCodecError, unpack } from './compression';
import { type BatchPart, RecordDecoder } from './record-decoder';

/**
 * Maximum record count of one batch. A record takes at least 7 bytes, but compressed next to none. Without the limit, a
 * small batch could announce millions of records and block the event loop.
 */
const batchRecordsMax = 200_000;
/**
 * Limits of one response, in decompressed bytes and records, so that decoding it cannot block the event loop for long.
 * Decoding stops after the batch that reaches one of them.
 */
const answerBytesMax = 16 * 1024 * 1024;
const answerRecordsMax = 100_000;

/** Decompressed bytes and records that were decoded so far from all partitions of one response. */
export class BatchRead {
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
   * Error of the batch at `next`; null if there is none. CORRUPT_MESSAGE: damaged on arrival; the broker's copy can be
   * intact · UNDECODABLE: the checksum is correct, but the content is invalid · UNSUPPORTED_COMPRESSION_TYPE: this
   * version of Node.js lacks the codec. Its `until`, if set, is the offset at which to continue without the batch.
   */
  readonly error: KafkaError | null;
}

const isTransactional = 1 << 4;
const isControl = 1 << 5;

/**
 * Returns the records of `bytes` at offset `from` or later. Stops before an incomplete batch or a batch with an error,
 * and after the batch that reaches the limits of a response.
 */
export function readRecords(
  bytes: Buffer,
  partition: number,
  from: number,
  aborted: readonly Aborted[] = [],
  taken = new BatchRead(),
): ReadRecords {
  const records: Stored[] = [];
  const waiting = aborted.toSorted((a, b) => a.first - b.first);
  const dropped = new Set<number>();
  let next = from;
  for (let start = 0; start + at.records <= bytes.length && !taken.enough;) {
    const length = bytes.readInt32BE(start + at.length);
    const end = start + at.leaderEpoch + length;
    if (end > bytes.length) break; // a broker can truncate the last batch
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

/** Returns the damage of the batch at `start`, which must be complete; undefined if it is intact. */
function damageOf(bytes: Buffer, start: number): string | undefined {
  const length = bytes.readInt32BE(start + at.length);
  if (length < at.records - at.leaderEpoch) return `a batch of ${length} bytes`;
  const version = bytes.readInt8(start + at.version);
  if (version !== 2) return `records of version ${version}`;
  const checksum = crc32c(bytes, start + at.attributes, start + at.leaderEpoch + length);
  return checksum === bytes.readUInt32BE(start + at.checksum) ? undefined : 'bad checksum';
}

/**
 * Returns the error of a damaged batch. One damaged field must not decide where reading continues, since it could skip
 * intact records. `until` is the start of the next batch if that is intact. Otherwise it follows the batch's last
 * offset if two fields agree on it, and else it skips one offset.
 */
function damaged(damage: string, bytes: Buffer, start: number, next: number): KafkaError {
  const delta = bytes.readInt32BE(start + at.lastDelta);
  const last = offsetAt(bytes, start) + delta;
  const agrees = delta >= 0 && delta < batchRecordsMax && bytes.readInt32BE(start + at.count) === delta + 1;
  const until = wholeBehind(bytes, start, next) ?? (agrees && last >= next ? last + 1 : next + 1);
  return new KafkaError('CORRUPT_MESSAGE', `the batch at ${next}: ${damage}`, { until });
}
/** Returns the offset of the next batch if that is complete, intact and after `next`; else undefined. */
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

/** Returns the last offset of the batch at `start`, including records that compaction has removed. */
function lastOf(bytes: Buffer, start: number): number {
  const delta = bytes.readInt32BE(start + at.lastDelta);
  if (delta < 0) throw new RangeError(`a batch that ends ${-delta} before it begins`);
  return readI64(bytes, start + at.baseOffset) + delta;
}

function undecodable(error: unknown, next: number, last: number | undefined): KafkaError {
  const what = last === undefined ? `the batch at ${next}` : `the batch at ${next} to ${last}`;
  const until = last !== undefined && last >= next ? { until: last + 1 } : {};
  const code = error instanceof UnknownCodecError ? 'UNSUPPORTED_COMPRESSION_TYPE' : 'UNDECODABLE';
  return new KafkaError(code, `${what}: ${errorMessage(error)}`, { ...until, cause: error });
}

interface Batch extends BatchPart {
  readonly taken: BatchRead;
}

/**
 * Adds the batch's records to `records`, without control records and records of aborted transactions. Adds none if it
 * throws, so that a retry does not deliver records twice.
 */
function readBatch(batch: Batch, dropped: Set<number>, records: Stored[]): void {
  const { bytes } = batch;
  const attributes = bytes.readInt16BE(at.attributes);
  const producer = readI64(bytes, at.producer);
  const count = bytes.readInt32BE(at.count);
  if (count > batchRecordsMax) throw new RangeError(`${count} records in a batch, the limit is ${batchRecordsMax}`);
  const body = unpack(bytes.subarray(at.records), attributes & 7);
  batch.taken.bytes += body.length;
  batch.taken.records += Math.max(0, count);
  if (attributes & isControl) return readMarker(body, producer, dropped);
  if (attributes & isTransactional && dropped.has(producer)) return;
  const before = records.length;
  try {
    new RecordDecoder(body).readAll(batch, attributes, records);
  } catch (error) {
    records.length = before;
    throw error;
  }
}

/**
 * Reads the one record of a control batch. Its key is a version and the outcome of the transaction. Outcome 0 ends an
 * aborted transaction, so later records of the producer are delivered.
 */
function readMarker(body: Buffer, producer: number, dropped: Set<number>): void {
  const marker = new RecordDecoder(body);
  marker.varint();
  marker.skip(1);
  marker.varint();
  marker.varint();
  const key = marker.blob();
  if (key !== null && key.length >= 4 && key.readInt16BE(2) === 0) dropped.delete(producer);
}
