/** Makes the changes of a transaction that adds records to a partition, and counts their bytes. */
import type { Change } from '../../disk/lmdb';
import type { PlaceKeys } from './keys';
import type { Edge } from './topics';

/** An encoded record. */
interface Encoded {
  readonly bytes: Buffer;
}

/** Returns the end of the partition after a batch. */
export function edgeAfter({ offset, bytes }: Edge, batch: readonly Encoded[]): Edge {
  const added = batch.reduce((sum, item) => sum + item.bytes.length, 0);
  return { offset: offset + batch.length, bytes: bytes === undefined ? undefined : bytes + added };
}

/**
 * Returns the changes for a batch. The version of each record is the bytes of the partition up to its end, so that the
 * trimmer need not read the records that it removes to count them.
 */
export function recordChanges(keys: PlaceKeys, batch: readonly Encoded[], { offset, bytes }: Edge): Change[] {
  let sum = bytes;
  return batch.map((item, index): Change => {
    const change = { key: keys.at(offset + index), value: item.bytes };
    if (sum === undefined) return change;
    sum += item.bytes.length;
    return { ...change, version: sum };
  });
}
