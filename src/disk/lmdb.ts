/** A key-value file shared by processes, on LMDB. One process has one environment for each folder. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ABORT, open, type RootDatabase } from 'lmdb';
import { holdProcess, sleep, type Clock } from '../base/clock';
import { BusError, sayError } from '../base/errors';
import { checkDataFile } from './check';
import { Environment, limited, unreachable } from './environment';
import { StoreFiles } from './files';
import { closeGate, Gate } from './gate';
import { newestTransaction } from './header';
import { LockFile, makeLockFile, readersMax } from './lockfile';
import { Room } from './room';
import { makeStore, type Store, type StoreOptions } from './store';

export type { Change, Guard } from './changes';
export type { StoreFault } from './condition';
export type { Entry, Store, StoreOptions } from './store';

/** A put that takes longer meets a stopped process or a dying disk. */
const writeMsDefault = 10_000;
/** Address space, not disk or memory: far above any log, so that the map never has to grow while others use it. */
const mapBytes = 2 ** 40;
/** A process of 64 bits has 2^47 bytes of addresses for all of its maps. */
const openMax = 100;
/** Processes look at the files of a store every second, so after this long none writes without its lock file. */
const noticedAfterMs = 1_500;

interface Held {
  holders: number;
  readonly shared: Promise<Environment>;
}
/**
 * By device and inode of the folder: LMDB's locks would be lost when a second environment of the same files is closed,
 * whatever path it was opened by.
 */
const opened = new Map<string, Held>();
const closing = new Map<string, Promise<void>>();

/**
 * Opens or creates the store in the directory `path`, which must exist. Rejects with Config when it holds something
 * else, with Unreachable when a stopped process holds its write lock for longer than a write may take.
 */
export async function openStore(path: string, options: StoreOptions): Promise<Store> {
  const writeMs = options.writeMs ?? writeMsDefault;
  const id = identityOf(path);
  const held = opened.get(id) ?? { holders: 0, shared: openShared(path, id, options, writeMs) };
  opened.set(id, held);
  held.holders += 1;
  try {
    const shared = await held.shared;
    return makeStore(shared, options, () => letGo(id, held, shared));
  } catch (error) {
    if (opened.get(id) === held) opened.delete(id);
    throw error;
  }
}
function identityOf(path: string): string {
  const { dev, ino } = statSync(path);
  return `${dev}:${ino}`;
}

async function openShared(path: string, id: string, options: StoreOptions, writeMs: number): Promise<Environment> {
  const { clock } = options;
  const lock = new LockFile(join(path, 'lock.mdb'));
  const before = closing.get(id);
  const unclosed = () =>
    unreachable(path, 'not-sent', writeMs, `it is not closed after ${writeMs} ms; ${lock.sayHolder()}`);
  if (before !== undefined) await limited(before, clock, writeMs, unclosed);
  const hold = holdProcess(); // what it waits for are timers
  try {
    await untilFree(path, lock, clock, writeMs);
    await untilNoticed(path, clock);
    const users = lock.users();
    checkLockFile(lock, users);
    checkAddressSpace();
    await checkDataFile(join(path, 'data.mdb'), clock, users.length > 0);
    if (users.length > 0) checkOlder(path, lock);
    makeLockFile(path);
    const openGate = await closeGate(path, lock, clock);
    try {
      return await openEnvironment(path, lock, options, writeMs);
    } finally {
      openGate();
    }
  } catch (error) {
    lock.close();
    throw error instanceof BusError ? error : unopened(path, error);
  } finally {
    hold.cancel();
  }
}

async function openEnvironment(
  path: string,
  lock: LockFile,
  { durable, clock }: StoreOptions,
  writeMs: number,
): Promise<Environment> {
  const db = openFiles(path, durable);
  try {
    mendLast(path, db, lock);
    const files = new StoreFiles(path);
    const room = new Room({ path, files, mapBytes, others: () => lock.readers().length });
    return new Environment({ path, db, lock, gate: new Gate(path, clock), files, room, clock, writeMs });
  } catch (error) {
    await db.close();
    throw error;
  }
}

/**
 * Opening takes the write lock on this thread, so it must not be tried while a stopped process holds it. Whoever runs
 * lets go in milliseconds; so many looks at others show that they do, one after another.
 */
async function untilFree(path: string, lock: LockFile, clock: Clock, writeMs: number): Promise<void> {
  const startMs = clock.mono();
  for (let looks = 0; looks < 50;) {
    const holder = lock.holder();
    if (holder === undefined) return;
    if (!holder.stopped) looks += 1;
    const waitedMs = clock.mono() - startMs;
    if (waitedMs > writeMs) throw unreachable(path, 'not-sent', waitedMs, `it cannot be opened: ${lock.sayHolder()}`);
    await sleep(clock, holder.stopped ? 50 : 2);
  }
}

/**
 * A lock file that is missing beside data may have been removed while other processes use it. They do not see the
 * locks of a new one, and both would write at the same time. So they get the time to notice that it is gone.
 */
async function untilNoticed(path: string, clock: Clock): Promise<void> {
  const data = statSync(join(path, 'data.mdb'), { throwIfNoEntry: false });
  if (data !== undefined && data.size > 0 && !existsSync(join(path, 'lock.mdb'))) await sleep(clock, noticedAfterMs);
}

const lockRemedy =
  'Stop all processes of this directory, remove the lock file that the message names, and start them again.';
/** LMDB ends the process when it fails to open a lock file. */
function checkLockFile(lock: LockFile, users: readonly number[]): void {
  const fault = lock.faultBeforeOpening(users);
  if (fault !== undefined) throw new BusError('Config', fault, { faults: [fault] }, undefined, lockRemedy);
}

/** LMDB ends the process when it fails to map the file. */
function checkAddressSpace(): void {
  const open = opened.size + closing.size;
  if (open > openMax) {
    const message = `this process has ${open - 1} data files open, the limit is ${openMax}: close buses`;
    const remedy = 'Close buses that are not used, or divide them over more processes.';
    throw new BusError('Config', message, { faults: [message] }, undefined, remedy);
  }
  const limitBytes = addressSpaceBytes();
  if (limitBytes >= 2 * mapBytes) return;
  const limit = `this process can have ${limitBytes} bytes of address space`;
  const message = `${limit}, the log needs ${mapBytes}: raise ulimit -v`;
  throw new BusError('Config', message, { faults: [message] }, undefined, 'Raise ulimit -v for this process.');
}
function addressSpaceBytes(): number {
  try {
    const limit = /^Max address space +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
    return limit === undefined ? Infinity : Number(limit);
  } catch {
    return Infinity;
  }
}

/**
 * Throws Config when the data file is older than its users have written: another one was put in its place while they
 * run, and LMDB would go on with their count of transactions.
 */
function checkOlder(path: string, lock: LockFile): void {
  const data = join(path, 'data.mdb');
  const [newest, last] = [newestTransaction(data) ?? 0, lock.lastTransaction() ?? 0];
  if (last <= newest) return;
  const message =
    `${data} is of transaction ${newest}, but the processes that use it have written ${last}: another file was ` +
    'put in its place. Stop all processes of this directory, then start them again.';
  const remedy = 'Stop all processes of this directory, then start them again.';
  throw new BusError('Config', message, { faults: [message] }, undefined, remedy);
}

function openFiles(path: string, durable: boolean): RootDatabase<Buffer, Buffer> {
  try {
    return open<Buffer, Buffer>({
      path,
      encoding: 'binary',
      keyEncoding: 'binary',
      useVersions: true,
      // Plain commits: data, fdatasync, head. What others read is on the disk already.
      overlappingSync: false,
      noSync: !durable,
      // With it the package makes a promise of its own for each turn, whose rejection nobody could hear.
      eventTurnBatching: false,
      mapSize: mapBytes,
      maxReaders: readersMax,
      permissionsMode: 0o600,
    } as Parameters<typeof open>[0]); // permissionsMode is missing from the package's types
  } catch (error) {
    throw unopened(path, error);
  }
}
function unopened(path: string, error: unknown): BusError<'Config'> {
  const remedy = 'Check its permissions and the free disk space.';
  const message = `${path} cannot be opened as a log: ${sayError(error)}. ${remedy}`;
  return new BusError('Config', message, { faults: [message] }, error, remedy);
}

/**
 * LMDB's opening writes the number of the last transaction into the lock file as it read it a moment before, without
 * the write lock. If another process committed in between, that number is too low, and the next transaction of anybody
 * would write over the one committed. So it is set right, under the write lock as LMDB itself does it after a death.
 * Too late for a transaction that began within the fraction of a millisecond since, which is what the gate is for.
 */
function mendLast(path: string, db: RootDatabase<Buffer, Buffer>, lock: LockFile): void {
  const missed = (): number | undefined => {
    const [newest, last] = [newestTransaction(join(path, 'data.mdb')), lock.lastTransaction()];
    return newest !== undefined && last !== undefined && last < newest ? newest : undefined;
  };
  if (missed() === undefined) return;
  db.transactionSync(() => {
    const newest = missed();
    if (newest !== undefined) lock.setLastTransaction(newest);
    return ABORT;
  });
}

async function letGo(id: string, held: Held, shared: Environment): Promise<void> {
  held.holders -= 1;
  if (held.holders > 0) return;
  opened.delete(id);
  const done = shared.close().finally(() => closing.delete(id));
  closing.set(id, done);
  await done;
}
