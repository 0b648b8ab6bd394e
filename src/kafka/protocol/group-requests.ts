/** Encodes requests about consumer groups: membership, assignments, committed offsets. Decodes their responses. */
import { ask, type Ask, type Bytes, failIf, readByTopic, readNode, verified, writeByTopic } from './request';
import { Writer } from './primitives';
import { errorOf, WireError } from './errors';
import type { Answer, CommitSpot, FetchedOffset, Group, Join, Joined, MemberAs, Node, Spot } from './types';

export function findCoordinator(group: string): Ask<Node> {
  return ask('FindCoordinator', 10, 2, new Writer().text(group).i8(0), (answer) => {
    const number = answer.throttle().i16();
    failIf(number, group, answer.textOrNull());
    return readNode(answer);
  });
}

export function join({ group, memberId, sessionMs, rebalanceMs, protocols }: Join): Ask<Joined> {
  const body = new Writer().text(group).i32(sessionMs).i32(rebalanceMs).text(memberId).text(null).text('consumer');
  body.list(protocols, (one) => body.text(one.name).blob(one.metadata));
  return ask('JoinGroup', 11, 5, body, (answer) => {
    const number = answer.throttle().i16();
    const [generation, protocol, leaderId, own] = [answer.i32(), answer.text(), answer.text(), answer.text()];
    const error = errorOf(number, group);
    if (error) throw error.step === 'named' ? new WireError(error.code, group, { memberId: own }) : error;
    const members = answer.list((one) => {
      const id = one.text();
      one.textOrNull(); // group instance id
      return { id, metadata: Buffer.from(one.blob()) };
    });
    return { generation, protocol, leaderId, memberId: own, members };
  });
}

function asMember({ group, generation, memberId }: MemberAs): Writer {
  return new Writer().text(group).i32(generation).text(memberId);
}

export function sync(
  as: MemberAs,
  assignments: readonly { readonly memberId: string; readonly assignment: Uint8Array }[],
): Ask<Buffer> {
  const body = asMember(as).text(null);
  body.list(assignments, (one) => body.text(one.memberId).blob(one.assignment));
  return ask('SyncGroup', 14, 3, body, (answer) => {
    failIf(answer.throttle().i16(), as.group);
    return Buffer.from(answer.blob());
  });
}

export function heartbeat(as: MemberAs): Ask<void> {
  return ask('Heartbeat', 12, 3, asMember(as).text(null), (answer) => failIf(answer.throttle().i16(), as.group));
}

export function leave(group: string, memberId: string): Ask<void> {
  const body = new Writer().text(group).list([memberId], (id, writer) => writer.text(id).text(null));
  return ask('LeaveGroup', 13, 3, body, (answer) => {
    failIf(answer.throttle().i16(), group);
    for (const number of answer.list(readLeft)) failIf(number, group);
  });
}
function readLeft(answer: Bytes): number {
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

export function commit(as: MemberAs, places: readonly CommitSpot[]): Ask<Answer[]> {
  const body = asMember(as).i64(keptMs);
  writeByTopic(body, places, (one) => body.i32(one.partition).i64(one.offset).text(one.metadata));
  return ask('OffsetCommit', 8, 4, body, (answer) => {
    const answers = readByTopic(answer.throttle(), (one, topic): Answer => {
      const partition = one.i32();
      return { topic, partition, error: errorOf(one.i16(), `${as.group} at ${topic}/${partition}`) };
    });
    return verified(places, answers, ({ topic, partition }, error) => ({ topic, partition, error }));
  });
}

export function fetchOffsets(group: string, spots: readonly Spot[] | null): Ask<FetchedOffset[]> {
  const body = new Writer().text(group);
  if (spots === null) body.i32(-1);
  else writeByTopic(body, spots, ({ partition }) => body.i32(partition));
  return ask('OffsetFetch', 9, 3, body, (answer) => {
    const answers = readByTopic(answer.throttle(), (one, topic): FetchedOffset => {
      const [partition, offset, said] = [one.i32(), one.i64(), one.textOrNull()];
      const error = errorOf(one.i16(), `${group} at ${topic}/${partition}`);
      return { topic, partition, error, offset: offset < 0 ? null : offset, metadata: said ?? '' };
    });
    failIf(answer.i16(), group);
    if (spots === null) return answers;
    return verified(spots, answers, ({ topic, partition }, error) => {
      return { topic, partition, error, offset: null, metadata: '' };
    });
  });
}

export function listGroups(): Ask<{ group: string; protocolType: string }[]> {
  return ask('ListGroups', 16, 2, new Writer(), (answer) => {
    failIf(answer.throttle().i16(), 'groups');
    return answer.list((one) => ({ group: one.text(), protocolType: one.text() }));
  });
}

export function deleteGroups(groups: readonly string[]): Ask<{ group: string; error: WireError | null }[]> {
  const body = new Writer().list(groups, (group, writer) => writer.text(group));
  return ask('DeleteGroups', 42, 1, body, (answer) =>
    answer.throttle().list((one) => {
      const group = one.text();
      return { group, error: errorOf(one.i16(), group, null, 'Delete') };
    }),
  );
}

export function describeGroups(groups: readonly string[]): Ask<Group[]> {
  const body = new Writer().list(groups, (group, writer) => writer.text(group));
  return ask('DescribeGroups', 15, 2, body, (answer) =>
    answer.throttle().list((one) => {
      const [number, group, state] = [one.i16(), one.text(), one.text()];
      const [protocolType, protocol] = [one.text(), one.text()];
      return { group, error: errorOf(number, group), state, protocolType, protocol, members: one.list(readMember) };
    }),
  );
}
function readMember(answer: Bytes): Group['members'][number] {
  const [id, clientId, host] = [answer.text(), answer.text(), answer.text()];
  return { id, clientId, host, metadata: Buffer.from(answer.blob()), assignment: Buffer.from(answer.blob()) };
}
