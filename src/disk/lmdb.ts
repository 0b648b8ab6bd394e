/** Opens LMDB key-value files that processes share. One process has one environment for each folder. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ABORT, open, type RootDatabase } from 'lmdb';
import { holdProcess, sleep, type Clock } from '../base/clock';
import { BusError, errorMessage } from '../base/errors';
import { checkDataFile, checkLockFile, checkNotReplaced } from './check';
import { Environment, limited, unreachable } from './environment';
import { StoreFiles } from './files';
import { closeGate, Gate } from './gate';
import { newestTransaction } from './header';
import { isFree, LockFile, makeLockFile, readersMax } from './lockfile';
import { Room } from './room';
import { makeStore, type Store, type StoreOptions } from './store';

export type { Change, Guard, WriteKind } from './changes';
export type { StoreFault } from './condition';
export type { Entry, Store, StoreOptions } from './store';

/** Default limit of a write. A longer one means that a process is stopped or the disk is failing. */
const writeMsDefault = 10_000;
/**
 * Size of the map: address space, not disk or memory. It far exceeds any log, so the map never grows while other
 * processes use it.
 */
const mapBytes = 2 ** 40;
/** Limits the open files. A 64-bit process has 2^47 bytes of addresses for all of its maps. */
const openMax = 100;
/**
 * Time after which no process writes without its lock file, since processes check the files of a store every second.
 */
const noticedAfterMs = 1_500;

interface Held {
  holders: number;
  readonly shared: Promise<Environment>;
}
/**
 * Open environments by device and inode of the folder. A second environment on the same files, even by another path,
 * would drop the locks of LMDB when it closes.
 */
const opened = new Map<string, Held>();
const closing = new Map<string, Promise<void>>();

/**
 * Opens or creates the store in the directory `path`, which must exist. Rejects with Config when it holds foreign
 * files. Rejects with Unreachable when a stopped process holds its write lock for longer than `writeMs`.
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
    unreachable(
      path,
      'not-sent',
      writeMs,
      `its previous use was not closed within ${writeMs} ms; ${lock.describeHolder()}`,
    );
  if (before !== undefined) await limited(before, clock, writeMs, unclosed);
  const hold = holdProcess(); // the waits below are timers, which do not keep the process running
  try {
    await untilFree(path, lock, clock, writeMs);
    await untilNoticed(path, clock);
    const users = await checkLockFile(lock, clock);
    checkAddressSpace();
    await checkDataFile(join(path, 'data.mdb'), clock, users.length > 0);
    if (users.length > 0) checkNotReplaced(join(path, 'data.mdb'), lock);
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
    repairLast(path, db, lock);
    const files = new StoreFiles(path);
    const room = new Room({ path, files, mapBytes, others: () => lock.readers().length });
    return new Environment({ path, db, lock, gate: new Gate(path, clock), files, room, clock, writeMs });
  } catch (error) {
    await db.close();
    throw error;
  }
}

/**
 * Waits for the write lock. Opening takes it on this thread, so opening must not be tried while a stopped process holds
 * it. A running process releases it within milliseconds, so the wait ends after 50 looks that found a running holder,
 * or one that cannot be determined.
 */
async function untilFree(path: string, lock: LockFile, clock: Clock, writeMs: number): Promise<void> {
  const startMs = clock.mono();
  for (let looks = 0; looks < 50;) {
    const holder = lock.holder();
    if (isFree(holder)) return;
    const isStopped = typeof holder === 'object' && holder.stopped;
    if (!isStopped) looks += 1;
    const waitedMs = clock.mono() - startMs;
    if (waitedMs > writeMs)
      throw unreachable(path, 'not-sent', waitedMs, `it cannot be opened: ${lock.describeHolder()}`);
    await sleep(clock, isStopped ? 50 : 2);
  }
}

/**
 * Waits for other processes to notice a missing lock file. If it was removed while they use the data, they do not share
 * the locks of a new one. Both sides would then write at the same time.
 */
async function untilNoticed(path: string, clock: Clock): Promise<void> {
  const data = statSync(join(path, 'data.mdb'), { throwIfNoEntry: false });
  if (data !== undefined && data.size > 0 && !existsSync(join(path, 'lock.mdb'))) await sleep(clock, noticedAfterMs);
}

/** Throws Config when the file cannot be mapped, since LMDB would end the process. */
function checkAddressSpace(): void {
  const open = opened.size + closing.size;
  if (open > openMax) {
    const message = `this process has ${open - 1} data files open, the limit is ${openMax}. Close buses`;
    const remedy = 'Close buses that are not used, or distribute them over more processes.';
    throw new BusError('Config', message, { faults: [message] }, undefined, remedy);
  }
  const limitBytes = addressSpaceBytes();
  if (limitBytes >= 2 * mapBytes) return;
  const limit = `this process can have ${limitBytes} bytes of address space`;
  const message = `${limit}, the log needs ${mapBytes}. Raise ulimit -v`;
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

function openFiles(path: string, durable: boolean): RootDatabase<Buffer, Buffer> {
  try {
    return open<Buffer, Buffer>({
      path,
      encoding: 'binary',
      keyEncoding: 'binary',
      useVersions: true,
      // Plain commits: data, fdatasync, head. Data that other processes can read is then already on the disk.
      overlappingSync: false,
      noSync: !durable,
      // With it, lmdb creates a promise for each turn that the caller cannot access, so its rejection would be
      // unhandled.
      eventTurnBatching: false,
      mapSize: mapBytes,
      maxReaders: readersMax,
      permissionsMode: 0o600,
    } as Parameters<typeof open>[0]); // permissionsMode is missing from the types of lmdb
  } catch (error) {
    throw unopened(path, error);
  }
}
function unopened(path: string, error: unknown): BusError<'Config'> {
  const remedy = 'Check its permissions and the free disk space.';
  const message = `${path} cannot be opened as a log: ${errorMessage(error)}. ${remedy}`;
  return new BusError('Config', message, { faults: [message] }, error, remedy);
}

/**
 * Corrects the last transaction in the lock file. When LMDB opens, it writes the number that it read before, without
 * the write lock. If another process committed in between, the number is too low, and the next transaction would
 * overwrite that commit. The correction holds the write lock, as LMDB's own does after a crash. It misses a transaction
 * that began in the fraction of a millisecond before it, which the gate prevents.
 */
function repairLast(path: string, db: RootDatabase<Buffer, Buffer>, lock: LockFile): void {
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
