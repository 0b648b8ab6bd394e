/** Finds out soon that no broker is there at all, for those who only look and need not wait for one to come. */
import net from 'node:net';
import { sleep, type Clock } from '../../base/clock';
import { BusError } from '../../base/errors';

/** One that is being started again is away for a moment. */
const tries = 2;
const betweenMs = 1_000;
/** Whoever takes longer to answer is not nobody. */
const answerMs = 500;

/**
 * Rejects with Unreachable when each of the addresses refuses to be connected to: then nobody listens there. Resolves
 * when anybody does, or when that cannot be known. Calls `waiting` when the first try has failed.
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
  const there = `nobody listens at ${brokers.join(',')} (${cause})`;
  const message = `no broker is there: ${there}; start one, or correct the address`;
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

/** A name with several addresses fails with an error for each. */
function refuses(error: NodeJS.ErrnoException): boolean {
  if (error instanceof AggregateError) return error.errors.every(refuses);
  return error.code === 'ECONNREFUSED';
}
