/** Leaves a group after all partitions were released and committed, unless commits fail for too long. */
import { every } from '../../base/clock';
import { sayError } from '../../base/errors';
import type { Commits } from './committer';
import { WireError } from '../protocol/errors';
import type { Holdings } from './partitions';
import { orAborted, type View } from '../cluster/metadata';

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
export async function giveEverything(view: View, holdings: Holdings, commits: Commits, sessionMs: number) {
  const { clock } = view.parts;
  const begunMs = clock.mono();
  const limitMs = Math.max(unkeptMsMin, unkeptSessions * sessionMs);
  holdings.giveAll();
  const watch = every(clock, lookMs, () => {
    const unkeptMs = Math.min(commits.unkeptMs, clock.mono() - begunMs);
    if (unkeptMs >= limitMs) holdings.loseAll(`it was closed, and no commit has succeeded for ${limitMs} ms`);
  });
  await holdings.given();
  watch.cancel();
}

/** Sends LeaveGroup. If the request fails, the session expires later. */
export async function leaveGroup(view: View, group: string, memberId: string): Promise<void> {
  if (memberId === '') return;
  const limit = new AbortController();
  const timer = view.parts.clock.after(leaveMs, () => limit.abort(new WireError('DEADLINE', 'leaving')));
  try {
    const node = await orAborted(view.coordinator(group), limit.signal);
    await view.parts.wire.leave({ node, via: 'group:beats' }, group, memberId, leaveMs);
  } catch (error) {
    const fields = { group, reason: sayError(error) };
    view.parts.notices.tell({
      type: 'log',
      level: 'debug',
      message: 'LeaveGroup failed; the session expires later',
      fields,
    });
  }
  timer.cancel();
}
