/** Ends a connection that stands still: a frozen server, or one behind a cut wire, says nothing of itself. */
import { every, type Clock } from '../../base/clock';
import type { Connection } from './connection';

/** A question every sixth of a session time-out also keeps the session alive. */
const looksPerSession = 6;
/** Looks, not time, are counted: after this process itself stood still, the answer that waits is read first. */
const silentLooksMax = 2;

/** Looks after `connection` until it ends, which is at most half a session time-out after the last answer. */
export function watchOver(connection: Connection, clock: Clock): void {
  const everyMs = connection.sessionMs / looksPerSession;
  let asked = false;
  let silent = 0;
  const timer = every(clock, everyMs, () => {
    if (asked) silent++;
    if (silent >= silentLooksMax) connection.cut(`no answer for ${Math.round(everyMs * silentLooksMax)} ms`);
    else if (!asked) ask();
  });
  function ask(): void {
    asked = true;
    connection.exists('/').then(
      () => ([asked, silent] = [false, 0]),
      () => connection.cut('the server does not answer'), // unless it has ended already
    );
  }
  void connection.ended.then(() => timer.cancel());
}
