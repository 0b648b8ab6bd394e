/** Leaves a group after all partitions were released and committed, unless commits fail for too long. */
import { every } from '../../base/clock';
import { errorMessage } from '../../base/errors';
import type { OffsetCommitter } from './committer';
import { KafkaError } from '../protocol/errors';
import type { AssignedPartitions } from './partitions';
import type { ClusterMetadata } from '../cluster/metadata';
import { orAborted } from '../cluster/retry';

/** Maximum time to leave the group. Without a LeaveGroup request, the session expires. */
const leaveMs = 1_000;
/** Interval at which a closing member checks that commits are still stored. */
const lookMs = 500;
/**
 * Minimum time without a stored commit, and its share of the session, after which partitions are given up. It covers a
 * change of the coordinator, and a sync that waits for a dead leader.
 */
const unkeptMsMin = 10_000;
const unkeptSessions = 1.5;

/**
 * Resolves when no partition is held. Running work can take its time. If no commit is stored for a long time, waiting
 * for another one would never end. The remaining partitions are then lost, and their next owner repeats the uncommitted
 * work.
 */
export async function revokeEverything(
  metadata: ClusterMetadata,
  assigned: AssignedPartitions,
  commits: OffsetCommitter,
  sessionMs: number,
) {
  const { clock } = metadata.parts;
  const begunMs = clock.mono();
  const limitMs = Math.max(unkeptMsMin, unkeptSessions * sessionMs);
  assigned.revokeAll();
  const watch = every(clock, lookMs, () => {
    const unkeptMs = Math.min(commits.unkeptMs, clock.mono() - begunMs);
    if (unkeptMs >= limitMs) assigned.loseAll(`it was closed, and no commit has succeeded for ${limitMs} ms`);
  });
  await assigned.revoked();
  watch.cancel();
}

/** Sends LeaveGroup. If the request fails, the session expires later. */
export async function leaveGroup(metadata: ClusterMetadata, group: string, memberId: string): Promise<void> {
  if (memberId === '') return;
  const limit = new AbortController();
  const timer = metadata.parts.clock.after(leaveMs, () => limit.abort(new KafkaError('DEADLINE', 'leaving')));
  try {
    const node = await orAborted(metadata.coordinator(group), limit.signal);
    await metadata.parts.client.leaveGroup({ node, channel: 'group:beats' }, group, memberId, leaveMs);
  } catch (error) {
    const fields = { group, reason: errorMessage(error) };
    metadata.parts.notices.emit({
      type: 'log',
      level: 'debug',
      message: 'LeaveGroup failed; the session expires later',
      fields,
    });
  }
  timer.cancel();
}
