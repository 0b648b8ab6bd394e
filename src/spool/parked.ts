/** Records that the servers refuse for good, which are parked in a topic of the spool. */
import type { BusError } from '../base/errors';
import { namesIn } from '../format/names';
import type { Append, LogRecord, Stored, Topic } from '../ports/log';

/** Header of a parked record: the place that it had in the spool, its key, and why it was refused. */
const headerName = 'spool';

export interface ParkedRecord {
  readonly topic: string;
  readonly partition: number;
  /** Offset in the spool. */
  readonly offset: number;
  readonly reason: string;
  readonly code: string;
  /** When it was parked, in ms since 1970. */
  readonly atMs: number;
  /** The record as it was to be sent. */
  readonly record: LogRecord;
}

/** Returns the topic of the parked records of a spool. Only the local log has it. */
export function parkedTopic(ns: string): Topic {
  return { name: namesIn(ns).refused(), partitions: 1, compacted: true, keepMs: null };
}

/** Returns the record to park. Parking it twice keeps one of them. */
export function parkedRecord(
  topic: string,
  { partition, offset, key, value, headers }: Stored,
  { code, message: reason }: BusError,
  atMs: number,
): Append {
  const about = { topic, partition, offset, code, reason, atMs, key: key && Buffer.from(key).toString('base64') };
  return {
    partition: 0,
    key: Buffer.from(`${topic}/${partition}/${offset}`),
    value: value ?? new Uint8Array(),
    headers: { ...headers, [headerName]: JSON.stringify({ ...about, empty: value === null }) },
  };
}

/** Returns the parked record of a stored one. Returns undefined for a tombstone, and for a record that is not one. */
export function readParked({ value, headers }: Stored): ParkedRecord | undefined {
  const { [headerName]: about, ...rest } = headers;
  if (value === null || about === undefined) return undefined;
  try {
    // Only `parkedRecord` writes these, and a damaged one does not parse.
    const { topic, partition, offset, code, reason, atMs, key, empty } = JSON.parse(about) as Omit<
      ParkedRecord,
      'record'
    > & { readonly key: string | null; readonly empty: boolean };
    const record = {
      key: key === null ? null : Buffer.from(key, 'base64'),
      value: empty ? null : value,
      headers: rest,
    };
    return { topic, partition, offset, code, reason, atMs, record };
  } catch {
    return undefined;
  }
}
