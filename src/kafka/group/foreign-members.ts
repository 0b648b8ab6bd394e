/** Finds members of a group that are not busbar instances, by their subscriptions, and names them for the operator. */
import { decodeSubscription } from './subscription';
import type { ClusterMetadata } from '../cluster/metadata';

/** Error for a group whose partitions are assigned by a member that is not a busbar instance. */
export class ForeignMembersError extends Error {
  override readonly name = 'ForeignMembersError';
}

export const foreignMembersRemedy = 'Stop the consumers that the message names, or give them another group.';
/** Returns the error text for an operator, as a configuration fault. */
export async function describeForeignMembers(
  metadata: ClusterMetadata,
  group: string,
  againMs: number,
): Promise<string> {
  const members = await foreignMembersOf(metadata, group);
  return (
    `consumers that are not busbar instances have joined group ${group} (${members}), so they ` +
    `receive its messages. Stop them, or give them another group. This instance then rejoins within ${againMs} ms`
  );
}

async function foreignMembersOf(metadata: ClusterMetadata, group: string): Promise<string> {
  try {
    const node = await metadata.coordinator(group);
    const [found] = await metadata.parts.client.describeGroups({ node, channel: 'admin' }, [group]);
    const unidentified = (found?.members ?? []).filter(({ metadata }) => decodeSubscription(metadata) === undefined);
    if (unidentified.length > 0) return unidentified.map(({ clientId, host }) => `${clientId} at ${host}`).join(', ');
  } catch {
    return 'the brokers do not list them';
  }
  // Brokers do not list members of the newer group protocol in responses of the older one.
  return 'consumers with group.protocol=consumer, see kafka-consumer-groups.sh --describe --members';
}
