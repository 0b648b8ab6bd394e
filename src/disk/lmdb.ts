/** A key-value file shared by processes, on LMDB: guarded writes, durable when they resolve, and views for reading. */
import { statfsSync } from 'node:fs';
import { join } from 'node:path';
import { ABORT, open, type RootDatabase } from 'lmdb';
import { holdProcess, sleep, type Clock } from '../base/clock';
import { BusError, sayError, type SendOutcome } from '../base/errors';
import { closeGate, Gate } from './gate';
import { checkDataFile, newestTransaction } from './header';
import { LockFile } from './lockfile';

/** What must be true in the very transaction that makes the changes: `key` has this version, or is not there (null). */
export interface Guard {
  readonly key: Uint8Array;
  readonly version: number | null;
}
/** A key that gets a value with a version, or (null) is removed. A value has at least one byte. */
export interface Change {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
  readonly version?: number;
}
export interface Entry {
  readonly value: Buffer;
  readonly version: number;
}

/** All reading is of one moment until {@link Store.refresh}, or until the turn of the event loop ends. */
export interface Store {
  /** Where the files are, for messages. */
  readonly path: string;
  /** What is read from now on is the newest. */
  refresh(): void;
  /** The value of a key, valid only until the next call of any store. */
  view(key: Uint8Array): Uint8Array | undefined;
  /** A copy of a value, with its version. */
  entry(key: Uint8Array): Entry | undefined;
  version(key: Uint8Array): number | undefined;
  /** Whether the key is there with this version. */
  is(key: Uint8Array, version: number): boolean;
  /** Calls `visit` for keys from `start` up to but without `end`, in order, until it returns false. */
  scan(start: Uint8Array, end: Uint8Array, visit: (key: Buffer, entry: Entry) => boolean): void;
  /** The first key from `start` on that is below `end`. */
  firstKey(start: Uint8Array, end: Uint8Array): Buffer | undefined;
  /**
   * Makes all changes in one transaction if the guard holds, none otherwise; resolves whether it did, when that is
   * durable. Rejects when the outcome is unknown. May take long while another process holds the write lock:
   * whoever cannot wait puts {@link Store.within} around it.
   */
  write(guard: Guard | null, changes: readonly Change[]): Promise<boolean>;
  /** The same promise, but rejects with Unreachable after the time limit: whether it was written is unknown then. */
  within<T>(writing: Promise<T>): Promise<T>;
  /** A line for errors: which process holds the write lock. */
  holder(): string;
  /** Changes whenever anybody wrote anything; undefined when that cannot be told. */
  lastTransaction(): number | undefined;
  /** Forgets readers that died, so that their pages can be used again. */
  forgetDeadReaders(): void;
  /** Lets go; the last holder in this process closes the files. */
  release(): Promise<void>;
}
export interface StoreOptions {
  readonly clock: Clock;
  /** false: survives the process but not the machine, and a power cut may leave a damaged file. */
  readonly durable: boolean;
  /** How long a write may take, in ms. */
  readonly writeMs?: number;
}

/** A put that takes longer meets a stopped process or a dying disk. */
const writeMsDefault = 10_000;
/** Address space, not disk or memory: far above any log, so that the map never has to grow while others use it. */
const mapBytes = 2 ** 40;
const readersMax = 4096;

interface Shared {
  readonly db: RootDatabase<Buffer, Buffer>;
  readonly lock: LockFile;
  readonly gate: Gate;
  /** Set when a write failed otherwise than for want of space: what is on the disk is not known any more. */
  broken: string | undefined;
}
interface Held {
  holders: number;
  readonly shared: Promise<Shared>;
}
/** One environment per path and process: LMDB's locks would be lost when a second one is closed. */
const opened = new Map<string, Held>();
const closing = new Map<string, Promise<void>>();

/**
 * Opens or creates the store in the directory `path`, which must exist. Rejects with Config when it holds something
 * else, with Unreachable when a stopped process holds its write lock for longer than a write may take.
 */
export async function openStore(path: string, options: StoreOptions): Promise<Store> {
  const writeMs = options.writeMs ?? writeMsDefault;
  const held = opened.get(path) ?? { holders: 0, shared: openShared(path, options, writeMs) };
  opened.set(path, held);
  held.holders += 1;
  try {
    const shared = await held.shared;
    return makeStore(path, shared, { ...options, writeMs }, () => letGo(path, held, shared));
  } catch (error) {
    if (opened.get(path) === held) opened.delete(path);
    throw error;
  }
}

async function openShared(path: string, options: StoreOptions, writeMs: number): Promise<Shared> {
  const { clock } = options;
  const lock = new LockFile(join(path, 'lock.mdb'));
  const before = closing.get(path);
  if (before !== undefined) await limited(before, path, clock, writeMs, `it is not closed after ${writeMs} ms`, lock);
  const hold = holdProcess(); // what it waits for are timers
  try {
    await untilFree(path, lock, clock, writeMs);
    await checkDataFile(join(path, 'data.mdb'), clock);
    const openGate = await closeGate(path, lock, clock);
    try {
      return { db: await openWhole(path, lock, options.durable), lock, gate: new Gate(path, clock), broken: undefined };
    } finally {
      openGate();
    }
  } catch (error) {
    lock.close();
    throw error;
  } finally {
    hold.cancel();
  }
}

async function openWhole(path: string, lock: LockFile, durable: boolean): Promise<RootDatabase<Buffer, Buffer>> {
  const db = openFiles(path, durable);
  try {
    mendLast(path, db, lock);
    return db;
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

/** The same promise, but rejects with Unreachable after `waitMs`. */
function limited<T>(
  promise: Promise<T>,
  path: string,
  clock: Clock,
  waitMs: number,
  late: string,
  lock: LockFile,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(waitMs, () =>
      reject(unreachable(path, 'unknown', waitMs, `${late}; ${lock.sayHolder()}`)),
    );
    promise.then(resolve, reject).finally(() => timer.cancel());
  });
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
    const message = `${path} cannot be opened as a log: ${sayError(error)}`;
    throw new BusError('Config', message, { faults: [message] }, error);
  }
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

function makeStore(
  path: string,
  shared: Shared,
  { clock, writeMs }: Required<StoreOptions>,
  letGoOnce: () => Promise<void>,
): Store {
  const { db, lock, gate } = shared;
  let releasedMs: number | undefined;

  async function write(guard: Guard | null, changes: readonly Change[]): Promise<boolean> {
    const opening = gate.wait();
    if (opening) await opening;
    if (releasedMs !== undefined)
      throw new BusError('Closed', `${path} was closed`, { outcome: 'not-sent', sinceMs: releasedMs });
    if (shared.broken !== undefined) {
      throw unreachable(path, 'not-sent', 0, `a write failed before and ${reopen}: ${shared.broken}`);
    }
    try {
      return await submit(db, guard, changes);
    } catch (error) {
      const cause = await causeOf(error);
      const full = noRoom(path);
      // A full disk leaves the files as they were. After anything else nobody knows what is on it.
      if (!full) shared.broken = cause;
      const what = full ? `the disk is full (${cause})` : cause;
      throw unreachable(path, 'unknown', 0, `writing failed, whether it was written is unknown: ${what}`);
    }
  }

  function read<T>(look: () => T): T {
    try {
      return look();
    } catch (error) {
      if (!sayError(error).includes('MDB_')) throw error;
      const remedy = 'put back a copy, or move it away to start with an empty one';
      const message = `${path} is damaged (${sayError(error)}): ${remedy}`;
      throw new BusError('Config', message, { faults: [message] }, error);
    }
  }

  function within<T>(writing: Promise<T>): Promise<T> {
    const late = `writing took longer than ${writeMs} ms, whether it was written is unknown`;
    return limited(writing, path, clock, writeMs, late, lock);
  }

  return {
    path,
    refresh: () => db.resetReadTxn(),
    view: (key) => read(() => db.getBinaryFast(asBuffer(key))),
    entry: (key) =>
      read(() => {
        const found = db.getEntry(asBuffer(key));
        return found && { value: found.value, version: found.version ?? 0 };
      }),
    version: (key) => read(() => db.getEntry(asBuffer(key))?.version),
    is: (key, version) => read(() => db.doesExist(asBuffer(key), version)),
    scan: (start, end, visit) =>
      read(() => {
        const range = { start: asBuffer(start), end: asBuffer(end), versions: true };
        for (const { key, value, version } of db.getRange(range)) {
          if (!visit(key, { value, version: version ?? 0 })) break;
        }
      }),
    firstKey: (start, end) =>
      read(() => {
        for (const key of db.getKeys({ start: asBuffer(start), end: asBuffer(end), limit: 1 })) return key;
        return undefined;
      }),
    write,
    within,
    holder: () => lock.sayHolder(),
    lastTransaction: () => lock.lastTransaction(),
    forgetDeadReaders: () => void db.readerCheck(),
    async release() {
      if (releasedMs !== undefined) return;
      releasedMs = clock.now();
      // What still waits for the write lock may wait for ever; then the files stay open until the process ends.
      await within(letGoOnce()).catch(() => undefined);
    },
  };
}

async function letGo(path: string, held: Held, shared: Shared): Promise<void> {
  held.holders -= 1;
  if (held.holders > 0) return;
  opened.delete(path);
  const done = shared.db.close().finally(() => {
    shared.lock.close();
    closing.delete(path);
  });
  closing.set(path, done);
  await done;
}

/** Hands a block of changes to the write thread. Nothing here may throw between the puts: half of them would count. */
function submit(db: RootDatabase<Buffer, Buffer>, guard: Guard | null, changes: readonly Change[]): Promise<boolean> {
  const block = (): void => {
    for (const { key, value, version } of changes) {
      void (value === null ? db.remove(asBuffer(key)) : db.put(asBuffer(key), asBuffer(value), version ?? 0));
    }
  };
  if (guard === null) return db.batch(block);
  const key = asBuffer(guard.key);
  return guard.version === null ? db.ifNoExists(key, block) : db.ifVersion(key, guard.version, block);
}

/** LMDB says EIO when a write is cut short for want of room, so the room has to be looked at. */
function noRoom(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize < roomBytesMin;
  } catch {
    return false;
  }
}
/** A transaction is at most about this large, so it may fail with this much left. */
const roomBytesMin = 8 * 1024 * 1024;

const reopen = 'nothing more is written until the log is opened anew';

function unreachable(path: string, outcome: SendOutcome, waitedMs: number, cause: string): BusError<'Unreachable'> {
  return new BusError('Unreachable', `${path}: ${cause}`, { outcome, waitedMs, cause });
}

/** The package rejects with a promise of the reason inside, which would end the process if nobody listened to it. */
async function causeOf(error: unknown): Promise<string> {
  if (typeof error !== 'object' || error === null || !('commitError' in error)) return sayError(error);
  try {
    return sayError(await error.commitError);
  } catch (reason) {
    return sayError(reason);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
