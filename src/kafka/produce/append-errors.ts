/** Checks records before they are sent, and builds the errors for records that were not written. */
import { BusError } from '../../base/errors';
import type { Append } from '../../ports/log';
import type { KafkaError } from '../protocol/errors';
import { recordBytesMax } from '../protocol/record-size';
import type { TopicShape } from '../cluster/topics';
import type { Produced } from '../protocol/types';

/** Throws Config for a partition that does not exist, and for a record without a key in a compacted topic. */
export function checkRecord(topic: string, shape: TopicShape, { partition, key }: Append): void {
  const there = Number.isInteger(partition) && partition >= 0 && partition < shape.partitions;
  const fault = there
    ? shape.compacted && key === null && `a record of the compacted topic '${topic}' needs a key`
    : `topic '${topic}' has ${shape.partitions} partitions, so partition ${partition} does not exist`;
  const remedy = 'Append records to a partition that the topic has, and with a key if the topic is compacted.';
  if (fault) throw new BusError('Config', fault, { faults: [fault] }, undefined, remedy);
}

/**
 * Returns the reason for each rejected record by its index in a batch of `count` records. The map is empty if the
 * broker names no record of a batch of several.
 */
export function reasonsByIndex(
  count: number,
  named: Produced['refused'],
  { message }: KafkaError,
): ReadonlyMap<number, string> {
  const reasons = new Map(
    named.filter(({ index }) => index >= 0 && index < count).map(({ index, reason }) => [index, reason]),
  );
  if (count === 1 && !reasons.has(0)) reasons.set(0, message);
  return reasons;
}

/** Returns the error for a record that the broker rejects however often it is sent. */
export function rejection(where: string, bytes: number, error: KafkaError, reason: string): BusError {
  if (error.code === 'MESSAGE_TOO_LARGE' || error.code === 'RECORD_LIST_TOO_LARGE') {
    const message = `${where}: a record of ${bytes} bytes is more than max.message.bytes or segment.bytes of the topic`;
    return new BusError('TooLarge', message, { bytes, limitBytes: recordBytesMax }, error);
  }
  const fault = `${where}: the brokers reject a record: ${reason}`;
  const remedy = 'Change the settings of the topic that make the brokers reject the record, or change the record.';
  return new BusError('Config', fault, { faults: [fault] }, error, remedy);
}

/** Returns the error for an append of which no record was written or will be written. */
export function notWritten(topic: string, waitedMs: number, cause: string): BusError<'Unreachable'> {
  const ms = Math.round(waitedMs);
  const message = `appending to ${topic}: nothing was written after ${ms} ms (${cause})`;
  return new BusError('Unreachable', message, { outcome: 'not-sent', waitedMs: ms, cause });
}

/** Returns the error for an append whose records can have been written. */
export function unknownOutcome(topic: string, waitedMs: number, cause: string): BusError<'Unreachable'> {
  const ms = Math.round(waitedMs);
  const message = `appending to ${topic}: no outcome after ${ms} ms, so it can have been written or not (${cause})`;
  return new BusError('Unreachable', message, { outcome: 'unknown', waitedMs: ms, cause });
}
