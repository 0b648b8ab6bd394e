/** Finds members of a group that are not busbar instances, by their subscriptions, and names them for the operator. */
import { decodeDeclared } from './subscription';
import type { View } from '../cluster/metadata';

/** Error for a group whose partitions are assigned by a member that is not a busbar instance. */
export class StrangerError extends Error {
  override readonly name = 'StrangerError';
}

export const strangersRemedy = 'Stop the consumers that the message names, or give them another group.';
/** Returns the error text for an operator, as a configuration fault. */
export async function sayStrangers(view: View, group: string, againMs: number): Promise<string> {
  return (
    `consumers that are not busbar instances have joined group ${group} (${await strangersOf(view, group)}), so they ` +
    `receive its messages. Stop them, or give them another group. This instance then rejoins within ${againMs} ms`
  );
}

async function strangersOf(view: View, group: string): Promise<string> {
  try {
    const node = await view.coordinator(group);
    const [found] = await view.parts.wire.describeGroups({ node, via: 'admin' }, [group]);
    const strangers = (found?.members ?? []).filter(({ metadata }) => decodeDeclared(metadata) === undefined);
    if (strangers.length > 0) return strangers.map(({ clientId, host }) => `${clientId} at ${host}`).join(', ');
  } catch {
    return 'the brokers do not list them';
  }
  // Brokers do not list members of the newer group protocol in responses of the older one.
  return 'consumers with group.protocol=consumer, see kafka-consumer-groups.sh --describe --members';
}
