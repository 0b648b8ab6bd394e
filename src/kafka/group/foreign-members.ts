/**
 * Members of a group that are none of ours: found by what is missing in their words, and named where brokers say who.
 */
import { decodeDeclared } from './subscription';
import type { View } from '../cluster/metadata';

/** Somebody who is none of ours assigns the partitions. */
export class StrangerError extends Error {
  override readonly name = 'StrangerError';
}

export const strangersRemedy = 'Stop the consumers that the message names, or give them a group of their own.';
/** What to tell people, as a fault of the configuration. */
export async function sayStrangers(view: View, group: string, againMs: number): Promise<string> {
  return (
    `group ${group} has members that are none of ours (${await strangersOf(view, group)}): its messages go to them. ` +
    `Stop them, or give them a group of their own; then it goes on by itself within ${againMs} ms`
  );
}

async function strangersOf(view: View, group: string): Promise<string> {
  try {
    const node = await view.coordinator(group);
    const [found] = await view.parts.wire.describeGroups({ node, via: 'admin' }, [group]);
    const strangers = (found?.members ?? []).filter(({ metadata }) => decodeDeclared(metadata) === undefined);
    if (strangers.length > 0) return strangers.map(({ clientId, host }) => `${clientId} at ${host}`).join(', ');
  } catch {
    return 'nobody says who';
  }
  // Brokers do not list members of the newer protocol to those who ask in the older one.
  return 'consumers with group.protocol=consumer, see kafka-consumer-groups.sh --describe --members';
}
