/** Sizes of records: how large one can be, what it takes in a batch, and how much of them waits. */
import { limits } from '../../base/limits';
import type { Append, LogRecord } from '../../ports/log';

/** The largest record that topics take of anybody: a message with its envelope. */
export const messageRecordBytesMax = limits.messageBytesMax + 128 * 1024;
/** The largest of all is such a one set aside, with the note that says why. */
export const recordBytesMax = messageRecordBytesMax + 64 * 1024;

/** What waits in one sender, for all topics. */
export const waitingBytesMax = 64 * 1024 * 1024;
export function copyRecord(record: Append): Append {
  const copy = (bytes: Uint8Array | null): Uint8Array | null => bytes && new Uint8Array(bytes);
  return { ...record, key: copy(record.key), value: copy(record.value), headers: { ...record.headers } };
}

/** About what a record takes in a batch, and never less. */
export function recordBytes({ key, value, headers }: LogRecord): number {
  let bytes = 24 + (key?.length ?? 0) + (value?.length ?? 0);
  for (const name in headers) bytes += 8 + Buffer.byteLength(name) + Buffer.byteLength(headers[name] ?? '');
  return bytes;
}
