/** Works on a queue: takes its partitions, reads them into lanes, runs handlers, settles, commits. */
import type { Queue, TakenQueue, TakeParts } from './types';

/**
 * Joins the queue's group; resolves when this instance is a member. Creates the topics that are not there.
 * Messages of one key are handled in order, one at a time; different keys side by side.
 */
export async function takeQueue(_parts: TakeParts, _queue: Queue): Promise<TakenQueue> {
  throw new Error('being built');
}
