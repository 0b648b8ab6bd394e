/** Progress at which an ownership begins, from the commit of the previous owner. */
import type { OwnedPartition } from '../../ports/log';
import type { Begin, Retained } from '../progress/retained';
import type { ConsumerParts, Queue } from '../types';

/** Returns the progress at which an ownership begins. Reports a commit whose state cannot be read. */
export function recall(
  { notices }: ConsumerParts,
  queue: Queue,
  retained: Retained,
  { partition, committed }: OwnedPartition,
): Begin {
  return retained.recall(committed, (reason) => {
    const fields = { queue: queue.name, partition, reason };
    const message = 'the state of the last commit of a partition cannot be decoded, so only its offset is used';
    notices.emit({ type: 'log', level: 'error', message, fields });
  });
}
