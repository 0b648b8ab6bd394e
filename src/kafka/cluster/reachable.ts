/** Detects within two seconds that no broker accepts connections, for commands that need not wait until one does. */
import net from 'node:net';
import { sleep, type Clock } from '../../base/clock';
import { BusError } from '../../base/errors';

/** Number of attempts. A broker that restarts refuses connections for a moment, so one refusal is no proof. */
const tries = 2;
const betweenMs = 1_000;
/** A connection attempt is abandoned after this time. A broker that is slow to answer counts as reachable. */
const answerMs = 500;

/**
 * Checks that a broker is running. Rejects with Unreachable if all addresses refuse connections. Resolves if one
 * accepts a connection, or if that remains unknown. Calls `waiting` when the first attempt has failed.
 */
export async function mustListen(
  brokers: readonly string[],
  clock: Clock,
  waiting: (message: string) => void = () => undefined,
): Promise<void> {
  const startedMs = clock.mono();
  for (let tried = 1; ; tried++) {
    if (!(await Promise.all(brokers.map((broker) => isRefused(broker, clock)))).every(Boolean)) return;
    if (tried === tries) break;
    waiting(`no broker accepts connections at ${brokers.join(',')} (ECONNREFUSED); trying again for ${betweenMs} ms`);
    await sleep(clock, betweenMs);
  }
  const cause = 'ECONNREFUSED';
  const there = `no server listens at ${brokers.join(',')} (${cause})`;
  const message = `no broker is reachable: ${there}. Start one, or correct the address`;
  throw new BusError('Unreachable', message, { outcome: 'not-sent', waitedMs: clock.mono() - startedMs, cause });
}

async function isRefused(broker: string, clock: Clock): Promise<boolean> {
  const [, host = '', port = ''] = /^\[?(.*?)\]?:(\d+)$/.exec(broker) ?? [];
  const socket = net.connect({ host, port: Number(port) });
  const limit = clock.after(answerMs, () => socket.destroy());
  try {
    return await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(false));
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(refuses(error)));
      socket.once('close', () => resolve(false));
    });
  } finally {
    limit.cancel();
    socket.destroy();
  }
}

/** Returns whether the error is a refusal. A host name with several addresses fails with an error for each. */
function refuses(error: NodeJS.ErrnoException): boolean {
  if (error instanceof AggregateError) return error.errors.every(refuses);
  return error.code === 'ECONNREFUSED';
}
