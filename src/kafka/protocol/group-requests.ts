/** Encodes requests about consumer groups: membership, assignments, committed offsets. Decodes their responses. */
import {
  apiRequest,
  type ApiRequest,
  type ResponseReader,
  failIf,
  readByTopic,
  readNode,
  verified,
  writeByTopic,
} from './request';
import { Writer } from './primitives';
import { errorOf, KafkaError } from './errors';
import type {
  PartitionResult,
  OffsetToCommit,
  CommittedOffset,
  Group,
  JoinGroupRequest,
  JoinGroupResponse,
  MemberIdentity,
  Node,
  TopicPartition,
} from './types';

export function findCoordinator(group: string): ApiRequest<Node> {
  return apiRequest('FindCoordinator', 10, 2, new Writer().text(group).i8(0), (answer) => {
    const number = answer.throttle().i16();
    failIf(number, group, answer.textOrNull());
    return readNode(answer);
  });
}

export function joinGroup({
  group,
  memberId,
  sessionMs,
  rebalanceMs,
  protocols,
}: JoinGroupRequest): ApiRequest<JoinGroupResponse> {
  const body = new Writer().text(group).i32(sessionMs).i32(rebalanceMs).text(memberId).text(null).text('consumer');
  body.list(protocols, (one) => body.text(one.name).blob(one.metadata));
  return apiRequest('JoinGroup', 11, 5, body, (answer) => {
    const number = answer.throttle().i16();
    const [generation, protocol, leaderId, own] = [answer.i32(), answer.text(), answer.text(), answer.text()];
    const error = errorOf(number, group);
    if (error) throw error.step === 'useAssignedId' ? new KafkaError(error.code, group, { memberId: own }) : error;
    const members = answer.list((one) => {
      const id = one.text();
      one.textOrNull(); // group instance id
      return { id, metadata: Buffer.from(one.blob()) };
    });
    return { generation, protocol, leaderId, memberId: own, members };
  });
}

function asMember({ group, generation, memberId }: MemberIdentity): Writer {
  return new Writer().text(group).i32(generation).text(memberId);
}

export function syncGroup(
  as: MemberIdentity,
  assignments: readonly { readonly memberId: string; readonly assignment: Uint8Array }[],
): ApiRequest<Buffer> {
  const body = asMember(as).text(null);
  body.list(assignments, (one) => body.text(one.memberId).blob(one.assignment));
  return apiRequest('SyncGroup', 14, 3, body, (answer) => {
    failIf(answer.throttle().i16(), as.group);
    return Buffer.from(answer.blob());
  });
}

export function heartbeat(as: MemberIdentity): ApiRequest<void> {
  return apiRequest('Heartbeat', 12, 3, asMember(as).text(null), (answer) => failIf(answer.throttle().i16(), as.group));
}

export function leaveGroup(group: string, memberId: string): ApiRequest<void> {
  const body = new Writer().text(group).list([memberId], (id, writer) => writer.text(id).text(null));
  return apiRequest('LeaveGroup', 13, 3, body, (answer) => {
    failIf(answer.throttle().i16(), group);
    for (const number of answer.list(readLeft)) failIf(number, group);
  });
}
function readLeft(answer: ResponseReader): number {
  answer.text();
  answer.textOrNull();
  return answer.i16();
}

/**
 * Retention of a committed offset: ten years, in effect forever. By default, brokers delete the offsets of a group that
 * has had no member for offsets.retention.minutes (7 days). The group would then repeat work, and a named listener
 * would miss the events in between. OffsetCommit has a retention of its own up to version 4.
 */
const keptMs = 10 * 365 * 86_400_000;

export function offsetCommit(as: MemberIdentity, places: readonly OffsetToCommit[]): ApiRequest<PartitionResult[]> {
  const body = asMember(as).i64(keptMs);
  writeByTopic(body, places, (one) => body.i32(one.partition).i64(one.offset).text(one.metadata));
  return apiRequest('OffsetCommit', 8, 4, body, (answer) => {
    const answers = readByTopic(answer.throttle(), (one, topic): PartitionResult => {
      const partition = one.i32();
      return { topic, partition, error: errorOf(one.i16(), `${as.group} at ${topic}/${partition}`) };
    });
    return verified(places, answers, ({ topic, partition }, error) => ({ topic, partition, error }));
  });
}

export function offsetFetch(
  group: string,
  topicPartitions: readonly TopicPartition[] | null,
): ApiRequest<CommittedOffset[]> {
  const body = new Writer().text(group);
  if (topicPartitions === null) body.i32(-1);
  else writeByTopic(body, topicPartitions, ({ partition }) => body.i32(partition));
  return apiRequest('OffsetFetch', 9, 3, body, (answer) => {
    const answers = readByTopic(answer.throttle(), (one, topic): CommittedOffset => {
      const [partition, offset, text] = [one.i32(), one.i64(), one.textOrNull()];
      const error = errorOf(one.i16(), `${group} at ${topic}/${partition}`);
      return { topic, partition, error, offset: offset < 0 ? null : offset, metadata: text ?? '' };
    });
    failIf(answer.i16(), group);
    if (topicPartitions === null) return answers;
    return verified(topicPartitions, answers, ({ topic, partition }, error) => {
      return { topic, partition, error, offset: null, metadata: '' };
    });
  });
}

export function listGroups(): ApiRequest<{ group: string; protocolType: string }[]> {
  return apiRequest('ListGroups', 16, 2, new Writer(), (answer) => {
    failIf(answer.throttle().i16(), 'groups');
    return answer.list((one) => ({ group: one.text(), protocolType: one.text() }));
  });
}

export function deleteGroups(groups: readonly string[]): ApiRequest<{ group: string; error: KafkaError | null }[]> {
  const body = new Writer().list(groups, (group, writer) => writer.text(group));
  return apiRequest('DeleteGroups', 42, 1, body, (answer) =>
    answer.throttle().list((one) => {
      const group = one.text();
      return { group, error: errorOf(one.i16(), group, null, 'Delete') };
    }),
  );
}

export function describeGroups(groups: readonly string[]): ApiRequest<Group[]> {
  const body = new Writer().list(groups, (group, writer) => writer.text(group));
  return apiRequest('DescribeGroups', 15, 2, body, (answer) =>
    answer.throttle().list((one) => {
      const [number, group, state] = [one.i16(), one.text(), one.text()];
      const [protocolType, protocol] = [one.text(), one.text()];
      return { group, error: errorOf(number, group), state, protocolType, protocol, members: one.list(readMember) };
    }),
  );
}
function readMember(answer: ResponseReader): Group['members'][number] {
  const [id, clientId, host] = [answer.text(), answer.text(), answer.text()];
  return { id, clientId, host, metadata: Buffer.from(answer.blob()), assignment: Buffer.from(answer.blob()) };
}
