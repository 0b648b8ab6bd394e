/** Forgets a named listener that will not come back, so that events no longer wait for it. */
import { findQueues, nearNames, type QueueName } from './names';
import { UnknownName, type InspectorParts } from './types';

/** The queue of a named listener. Throws UnknownName for anything else. */
export async function findListener({ log, ns }: InspectorParts, name: string): Promise<QueueName> {
  const queues = await findQueues(log, ns);
  const found = queues.get(name);
  if (found?.kind === 'listener' && found.sources.length > 0) return found;
  const listeners = [...queues.values()].filter(({ kind }) => kind === 'listener').map(({ queue }) => queue);
  throw new UnknownName('named listener', name, nearNames(name, listeners));
}

/**
 * Forgets how far the listener has come, on all topics. An instance that listens under the name afterwards begins with
 * what is published then. Rejects with Conflict while one does.
 */
export async function forgetListener({ log }: InspectorParts, { sources }: QueueName): Promise<void> {
  for (const { group, topic } of sources) if (group !== null) await log.dropGroup(group, topic);
}
