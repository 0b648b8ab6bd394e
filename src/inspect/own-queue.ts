/** Finds the queue of an entry of work without an instance that knows it. */
import { moduleOf } from '../contract/contract';
import { parseTopic } from '../format/names';
import { topicsOf } from './names';
import { wholeTopics } from './parked';
import { budgetFor } from './queues';
import { scan } from './scan';
import type { InspectorParts } from './types';

/**
 * Returns the name of the entry's own queue, or null for the queue of its module: that of the topic with a message of
 * the entry, or of the only topic of the module. Returns undefined if several topics exist and none has such a message.
 */
export async function findOwnQueue(parts: InspectorParts, entry: string): Promise<string | null | undefined> {
  const topics = await topicsOf(parts.log, parts.ns, ['work'], moduleOf({ name: entry }));
  const queueOf = (topic: string): string | null => {
    const name = parseTopic(topic);
    return name && 'queue' in name && name.queue !== undefined ? name.queue : null;
  };
  if (topics.every((topic) => queueOf(topic) === null)) return null;
  for await (const [decoded] of scan(parts.log, await wholeTopics(parts, topics), budgetFor(parts))) {
    if (decoded.entry === entry) return queueOf(decoded.topic);
  }
  return undefined;
}
