/** Ends a connection that no longer responds. A suspended server or a cut network does not close it. */
import { every, type Clock } from '../../base/clock';
import type { Connection } from './connection';

/** Checks in one session timeout. The request of each check also keeps the session alive. */
const looksPerSession = 6;
/**
 * Checks without a response after which the connection is cut. They are counted instead of timed: if this process was
 * suspended, it reads a waiting response first.
 */
const silentLooksMax = 2;

/**
 * Checks `connection` until it ends. A silent connection is cut at most half a session timeout after the last response.
 */
export function watchOver(connection: Connection, clock: Clock): void {
  const everyMs = connection.sessionMs / looksPerSession;
  let asked = false;
  let silent = 0;
  const timer = every(clock, everyMs, () => {
    if (asked) silent++;
    if (silent >= silentLooksMax) connection.cut(`no response for ${Math.round(everyMs * silentLooksMax)} ms`);
    else if (!asked) ask();
  });
  function ask(): void {
    asked = true;
    connection.exists('/').then(
      () => ([asked, silent] = [false, 0]),
      () => connection.cut('the server does not respond'), // no effect if it has ended
    );
  }
  void connection.ended.then(() => timer.cancel());
}
