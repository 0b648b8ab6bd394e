/** Sends what waits in a spool, and ends when that is done, for the command of an operator. */
import { sleep } from '../base/clock';
import type { Log } from '../ports/log';
import { findParked, readUnsent, type SpoolLog, type Unsent } from './contents';
import { drainGroup } from './drain';
import { openSpool, type SpoolParts } from './spool';

/** Interval of the reads of the progress, which other processes of the machine make too. */
const pollMs = 250;
/** Time without progress after which the call ends. Within it the partitions of a crashed process are reassigned. */
const stalledMs = 30_000;

/** Options of a call that sends what waits in a spool. */
export interface EmptyOptions {
  /** Ends the call. What the servers acknowledged by then is committed. */
  readonly signal: AbortSignal;
  /** Called a few times per second. */
  readonly progress?: (progress: Emptied) => void;
}
/** Messages of a spool that waited at the start of the call. */
export interface Emptied {
  readonly sent: number;
  readonly left: number;
  /** Messages that the servers refused for good during the call, which are now parked in the spool. */
  readonly refused: number;
  /** The reason for which messages cannot be sent; null if none is known. */
  readonly reason: string | null;
}

/**
 * Sends the messages that wait in the spool, together with the processes of the machine. Resolves when none of them is
 * left, when `signal` aborts, and when none was sent for 30 s.
 */
export async function emptySpool(
  parts: Omit<SpoolParts, 'bytesMax' | 'topicShare'>,
  { signal, progress }: EmptyOptions,
): Promise<Emptied> {
  const { ns, clock, local, notices } = parts;
  const unsent = await readUnsent(local);
  const total = await countLeft(local, unsent);
  const parkedBefore = await countParked(local, ns);
  let reason: string | null = null;
  const unwatch = notices.watchStates(({ part, ok, reason: text }) => {
    if (part === 'spool') reason = ok ? null : text;
  });
  const spool = await openSpool({ ...parts, bytesMax: Infinity, topicShare: 1 });
  const now = async (): Promise<Emptied> => {
    const left = await countLeft(local, unsent);
    const refused = Math.max(0, (await countParked(local, ns)) - parkedBefore);
    return { sent: Math.max(0, total - left - refused), left, refused, reason };
  };
  try {
    let last = total;
    for (let movedMs = clock.mono(); !signal.aborted && clock.mono() - movedMs < stalledMs;) {
      const state = await now();
      progress?.(state);
      if (state.left === 0) break;
      if (state.left !== last) [last, movedMs] = [state.left, clock.mono()];
      await sleep(clock, pollMs, signal);
    }
  } finally {
    unwatch();
    await spool.close();
  }
  return now();
}

async function countParked(local: SpoolLog, ns: string): Promise<number> {
  let count = 0;
  for await (const _one of findParked(local, ns)) count++;
  return count;
}
async function countLeft(local: Pick<Log, 'committedOffsets'>, unsent: readonly Unsent[]): Promise<number> {
  const commits = new Map<string, number>();
  for (const topic of new Set(unsent.map((one) => one.topic)))
    for (const { partition, offset } of await local.committedOffsets(drainGroup, topic))
      commits.set(`${topic}/${partition}`, offset);
  return unsent.reduce((sum, { topic, partition, from, end }) => {
    return sum + Math.max(0, end - Math.max(from, commits.get(`${topic}/${partition}`) ?? 0));
  }, 0);
}
