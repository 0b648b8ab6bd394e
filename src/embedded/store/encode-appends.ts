/** Checks and encodes the records of an append, before any of them is queued. */
import { BusError } from '../../base/errors';
import { limits } from '../../base/limits';
import type { Append, Topic } from '../../ports/log';
import { encodeRecord } from './record-format';

/** Largest record: a message with its envelope, and the fields that a parked one adds. */
const recordBytesMax = limits.messageBytesMax + 128 * 1024;

/**
 * Returns one block of bytes for each record, and their sum. Throws for the first fault, so that no call is queued in
 * part: Config for a partition or key that the topic cannot have, TooLarge for a record.
 */
export function encodeAppends(
  topic: Topic,
  records: readonly Append[],
  timeMs: number,
): { readonly encoded: readonly Buffer[]; readonly bytes: number } {
  let bytes = 0;
  const encoded = records.map((record) => {
    if (!Number.isInteger(record.partition) || record.partition < 0 || record.partition >= topic.partitions) {
      throw configFault(
        `topic '${topic.name}' has ${topic.partitions} partitions, so partition ${record.partition} does not exist`,
      );
    }
    if (topic.compacted && record.key === null)
      throw configFault(`a record of the compacted topic '${topic.name}' needs a key`);
    const block = encodeRecord(record, timeMs);
    if (block.length > recordBytesMax) throw tooLarge(topic.name, block.length);
    bytes += block.length;
    return block;
  });
  return { encoded, bytes };
}

function configFault(message: string): BusError<'Config'> {
  const remedy = 'Append records to a partition that the topic has, and with a key if the topic is compacted.';
  return new BusError('Config', message, { faults: [message] }, undefined, remedy);
}

function tooLarge(topic: string, bytes: number): BusError<'TooLarge'> {
  return new BusError('TooLarge', `a record for ${topic} has ${bytes} bytes, the limit is ${recordBytesMax}`, {
    bytes,
    limitBytes: recordBytesMax,
  });
}
