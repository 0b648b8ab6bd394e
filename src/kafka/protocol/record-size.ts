/** Defines sizes of records: the largest record, a record's share of a batch, and the limit of waiting records. */
import { limits } from '../../base/limits';
import type { Append, LogRecord } from '../../ports/log';

/** Largest record that a topic of messages accepts: the largest message, and 128 KiB for its envelope. */
export const messageRecordBytesMax = limits.messageBytesMax + 128 * 1024;
/** Largest record of any topic: a parked message, which adds up to 64 KiB about the reason. */
export const recordBytesMax = messageRecordBytesMax + 64 * 1024;

/** Maximum bytes of records that wait in one sender, over all topics, so that an outage cannot fill the memory. */
export const waitingBytesMax = 64 * 1024 * 1024;
export function copyRecord(record: Append): Append {
  const copy = (bytes: Uint8Array | null): Uint8Array | null => bytes && new Uint8Array(bytes);
  return { ...record, key: copy(record.key), value: copy(record.value), headers: { ...record.headers } };
}

/** Returns an upper bound of a record's size in a batch, close to the exact value. */
export function recordBytes({ key, value, headers }: LogRecord): number {
  let bytes = 24 + (key?.length ?? 0) + (value?.length ?? 0);
  for (const name in headers) bytes += 8 + Buffer.byteLength(name) + Buffer.byteLength(headers[name] ?? '');
  return bytes;
}
