/** Deletes the group of a named listener that will not return, so that the log no longer keeps events for it. */
import { findQueues, nearNames, type QueueName } from './names';
import { UnknownName, type InspectorParts } from './types';

/** Returns the queue of a named listener. Throws UnknownName for any other name. */
export async function findListener({ log, ns }: InspectorParts, name: string): Promise<QueueName> {
  const queues = await findQueues(log, ns);
  const found = queues.get(name);
  if (found?.kind === 'listener' && found.sources.length > 0) return found;
  const listeners = [...queues.values()].filter(({ kind }) => kind === 'listener').map(({ queue }) => queue);
  throw new UnknownName('named listener', name, nearNames(name, listeners));
}

/**
 * Deletes the committed offsets of the listener in all its topics. An instance that later listens under the same name
 * starts with events that are published after that. Rejects with Conflict while an instance listens under the name, and
 * with Unreachable when the log does not respond.
 */
export async function forgetListener({ log }: InspectorParts, { sources }: QueueName): Promise<void> {
  for (const { group, topic } of sources) if (group !== null) await log.dropGroup(group, topic);
}
