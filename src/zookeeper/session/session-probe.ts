/** Waits for a first session with ZooKeeper, at the start of a bus. */
import { closable } from '../../base/lifecycle';
import { openNotices } from '../../base/notices';
import type { ServerProbe } from '../../ports/server-probe';
import { openSession, type SessionParts } from './session';

/** Longest delay of a timer, in ms. The caller closes the probe at its own limit, which is shorter. */
const timerMsMax = 2 ** 31 - 1;

/** Connects until a server grants a session, or every server refuses. A server without its quorum grants none. */
export function probeSession(parts: Omit<SessionParts, 'notices'>): ServerProbe {
  // The session that the bus opens afterwards emits the notices.
  const session = openSession({ ...parts, notices: openNotices() });
  return {
    name: `ZooKeeper at ${session.where}`,
    get reason() {
      return session.reason;
    },
    suffices: false,
    async responds() {
      await session.call('waiting', true, () => Promise.resolve(), timerMsMax).catch(() => undefined);
    },
    ...closable(() => session.close()),
  };
}
