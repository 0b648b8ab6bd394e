/**
 * Checks a data file before LMDB maps it. A damaged file would end the process, and a foreign one would be overwritten.
 */
import { closeSync, existsSync, openSync } from 'node:fs';
import { sleep, type Clock } from '../base/clock';
import { BusError, errorMessage, sentence } from '../base/errors';
import { faultInHeads, newestTransaction } from './header';
import { faultInPages, isShort } from './pages';

/** A file that another process is creating or writing can look damaged for a moment, so it is checked several times. */
const lookAgainMs = 100;
const looksMax = 3;
/** Time limit for reading pages, enough for some 50,000. A larger file is opened with part of its last level unread. */
const pagesMsMax = 300;

export const copyRemedy = 'restore a backup, or move the file away to start with an empty one';

/**
 * Rejects with a Config error that names the file if it is not an LMDB data file, was cut off, or has damaged pages. A
 * missing or empty file is accepted: it becomes a new one. Writes nothing. `isUsed`: another process has opened the
 * file, which proves that its pages can be read.
 */
export async function checkDataFile(path: string, clock: Clock, isUsed: boolean): Promise<void> {
  for (let looks = 1; ; looks++) {
    const fault = await faultOf(path, clock, isUsed);
    if (fault === undefined) return;
    if (looks === looksMax) {
      const message = `${path} ${fault}: ${copyRemedy}`;
      throw new BusError('Config', message, { faults: [message] }, undefined, sentence(copyRemedy));
    }
    await sleep(clock, lookAgainMs);
  }
}

/** Number of looks at a lock file. A process initializes it within milliseconds, or longer on a busy machine. */
const lockLooksMax = 10;
const lockRemedy =
  'Stop all processes of this directory, remove the lock file that the message names, and start them again.';
/**
 * Rejects with Config for a lock file that LMDB cannot open, since LMDB would end the process. Resolves to the pids of
 * the other processes that use it. The first of them initializes the file after it has locked it, so a file that looks
 * damaged is checked several times.
 */
export async function checkLockFile(
  lock: { users(): readonly number[]; faultBeforeOpening(users: readonly number[]): string | undefined },
  clock: Clock,
): Promise<readonly number[]> {
  for (let looks = 1; ; looks++) {
    const users = lock.users();
    const fault = lock.faultBeforeOpening(users);
    if (fault === undefined) return users;
    if (looks === lockLooksMax) throw new BusError('Config', fault, { faults: [fault] }, undefined, lockRemedy);
    await sleep(clock, lookAgainMs);
  }
}

const restartRemedy = 'Stop all processes of this directory, then start them again.';
/**
 * Throws Config when the data file is older than the transactions that its users wrote. It was then replaced while they
 * run, and LMDB would continue with their count of transactions.
 */
export function checkNotReplaced(path: string, lock: { lastTransaction(): number | undefined }): void {
  // A writer writes the data file before it raises the count in the lock file. Read in this order, the file is never
  // older, also when a writer commits between the two.
  const last = lock.lastTransaction() ?? 0;
  const newest = newestTransaction(path) ?? 0;
  if (last <= newest) return;
  const message =
    `${path} has transaction ${newest}, but the processes that use it have written ${last}: the file was replaced. ` +
    restartRemedy;
  throw new BusError('Config', message, { faults: [message] }, undefined, restartRemedy);
}

async function faultOf(path: string, clock: Clock, isUsed: boolean): Promise<string | undefined> {
  if (!existsSync(path)) return undefined;
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const fault = faultInHeads(file);
    if (fault !== undefined || (isUsed && !isShort(file))) return fault;
    const inside = await faultInPages(file, clock, pagesMsMax);
    return inside && `is damaged or cut off (${inside})`;
  } catch (error) {
    return `cannot be read (${errorMessage(error)})`;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
