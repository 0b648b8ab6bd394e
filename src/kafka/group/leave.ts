/** How a member goes: all it has is given and committed first, though not at any price; then a word to the group. */
import { every } from '../../base/clock';
import { sayError } from '../../base/errors';
import type { Commits } from './committer';
import { WireError } from '../protocol/errors';
import type { Holdings } from './partitions';
import { orAborted, type View } from '../cluster/metadata';

const leaveMs = 1_000;
const lookMs = 500;
/** Longer than a broker takes over from another one, and long enough for a sync that waits for a dead leader. */
const unkeptMsMin = 10_000;
const unkeptSessions = 1.5;

/**
 * Resolves when nothing is held any more. What runs may take its time, but when the group has kept no commit for
 * long, waiting for one more would never end: then the rest is lost, and done again by whoever has it next.
 */
export async function giveEverything(view: View, holdings: Holdings, commits: Commits, sessionMs: number) {
  const { clock } = view.parts;
  const begunMs = clock.mono();
  const limitMs = Math.max(unkeptMsMin, unkeptSessions * sessionMs);
  holdings.giveAll();
  const watch = every(clock, lookMs, () => {
    const unkeptMs = Math.min(commits.unkeptMs, clock.mono() - begunMs);
    if (unkeptMs >= limitMs) holdings.loseAll(`it was closed, and the group kept no commit for ${limitMs} ms`);
  });
  await holdings.given();
  watch.cancel();
}

/** If nobody hears of it, the session runs out. */
export async function leaveGroup(view: View, group: string, memberId: string): Promise<void> {
  if (memberId === '') return;
  const limit = new AbortController();
  const timer = view.parts.clock.after(leaveMs, () => limit.abort(new WireError('DEADLINE', 'leaving')));
  try {
    const node = await orAborted(view.coordinator(group), limit.signal);
    await view.parts.wire.leave({ node, via: 'group:beats' }, group, memberId, leaveMs);
  } catch (error) {
    const fields = { group, reason: sayError(error) };
    view.parts.notices.tell({ type: 'log', level: 'debug', message: 'a group was left without a word', fields });
  }
  timer.cancel();
}
