/** Provides guarded writes that are durable when they resolve, and reads, on an LMDB environment. */
import type { Clock } from '../base/clock';
import { BusError, errorMessage } from '../base/errors';
import { asBuffer, submit, type Change, type Guard, type WriteKind } from './changes';
import { copyRemedy } from './check';
import type { StoreFault } from './condition';
import type { Environment } from './environment';
import { bytesOf } from './room';

export interface Entry {
  readonly value: Buffer;
  readonly version: number;
}

/**
 * A key-value store that processes share. All reads see one snapshot until {@link Store.refresh}, or the end of the
 * event-loop turn. Reads throw StoreBroken, and writes reject with it, once the files were removed, replaced or cut.
 * The same holds if the outcome of a write is unknown.
 */
export interface Store {
  /** Location of the files, for messages. */
  readonly path: string;
  /** Makes later reads see the newest data. */
  refresh(): void;
  /** Returns the value of a key, valid only until the next call of any store. */
  view(key: Uint8Array): Uint8Array | undefined;
  /** Returns a copy of a value, with its version. */
  entry(key: Uint8Array): Entry | undefined;
  version(key: Uint8Array): number | undefined;
  /** Returns whether the key exists with this version. */
  is(key: Uint8Array, version: number): boolean;
  /** Calls `visit` for keys from `start` (inclusive) to `end` (exclusive), in order, until it returns false. */
  scan(start: Uint8Array, end: Uint8Array, visit: (key: Buffer, entry: Entry) => boolean): void;
  /** Returns the first key from `start` on that is below `end`. */
  firstKey(start: Uint8Array, end: Uint8Array): Buffer | undefined;
  /**
   * Makes all changes in one transaction if the guard holds, and otherwise none. Resolves to whether it did, once that
   * is durable. Rejects with DiskFull when there is no room; nothing is then written. Rejects with StoreBroken when the
   * store cannot be used, and with Unreachable when the outcome is unknown. It can take long while another process
   * holds the write lock: {@link Store.within} limits that.
   */
  write(guard: Guard | null, changes: readonly Change[], kind?: WriteKind): Promise<boolean>;
  /**
   * Returns the same promise, which rejects with Unreachable after the time limit. The outcome of the write is then
   * unknown.
   */
  within<T>(writing: Promise<T>): Promise<T>;
  /** Returns a line for errors that names the process holding the write lock. */
  holder(): string;
  /** Returns a number that changes with every write of any process; undefined if it cannot be read. */
  lastTransaction(): number | undefined;
  /** Removes the readers that died from the table, so that the pages that they hold can be reused. */
  forgetDeadReaders(): void;
  /** Checks the files, the disk and the running writes. Call it every second. Returns false for a broken store. */
  check(): boolean;
  /** Releases this handle. The last release in the process closes the files. */
  release(): Promise<void>;
}
export interface StoreOptions {
  readonly clock: Clock;
  /** If false, data survives a crash of the process but not of the machine: a power cut can leave a damaged file. */
  readonly durable: boolean;
  /** Time limit of a write in ms. @default 10_000 */
  readonly writeMs?: number;
  /**
   * Called when the store stops working, the reason changes, or it works again (undefined). Called while opening if
   * another handle of this process already found a fault.
   */
  readonly onChange?: (fault: StoreFault | undefined) => void;
}

/** Errors of LMDB that prove that a page of the data file, or the state of its transaction, is damaged. */
const damage = /MDB_(?:CORRUPTED|PAGE_NOTFOUND|BAD_TXN|PANIC)/;

/** Creates a handle on an environment. `releaseOnce` is called at most once. */
export function makeStore(
  environment: Environment,
  { clock, onChange }: StoreOptions,
  releaseOnce: () => Promise<void>,
): Store {
  const { path, db, lock, gate, condition } = environment;
  const unlisten = onChange && condition.onChange(onChange);
  let releasedMs: number | undefined;

  async function write(guard: Guard | null, changes: readonly Change[], kind?: WriteKind): Promise<boolean> {
    const opening = gate.wait();
    if (opening) await opening;
    if (releasedMs !== undefined)
      throw new BusError('Closed', `${path} was closed`, { outcome: 'not-sent', sinceMs: releasedMs });
    environment.look(0);
    condition.check();
    const bytes = bytesOf(changes);
    environment.takeRoom(bytes, kind);
    try {
      const written = await environment.writes.run(submit(db, guard, changes));
      environment.look(0);
      condition.check('unknown'); // data written to a file that is no longer at its path is not safe
      return written;
    } catch (error) {
      throw await environment.failed(error, bytes);
    } finally {
      environment.room.give(bytes);
    }
  }

  /** Checks the files before a read, at most every ms. Reading the map of a file that was cut ends the process. */
  function read<T>(look: () => T): T {
    environment.look(1);
    condition.check();
    return sound(look);
  }
  function sound<T>(look: () => T): T {
    try {
      return look();
    } catch (error) {
      if (damage.test(errorMessage(error))) {
        condition.break(`${path} is damaged (${errorMessage(error)}): ${copyRemedy}`);
        condition.check();
      }
      throw error; // other errors, such as MDB_READERS_FULL, prove no damage
    }
  }

  return {
    path,
    refresh: () => read(() => db.resetReadTxn()),
    view: (key) => sound(() => db.getBinaryFast(asBuffer(key))), // called for each record, after a `refresh`
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
    within: (writing) => environment.within(writing),
    holder: () => lock.describeHolder(),
    lastTransaction: () => lock.lastTransaction(),
    forgetDeadReaders: () => read(() => void db.readerCheck()),
    check: () => environment.check(),
    async release() {
      if (releasedMs !== undefined) return;
      releasedMs = clock.now();
      unlisten?.();
      // A write that still waits for the write lock can wait forever. The files then stay open until the process ends.
      await environment.within(releaseOnce()).catch(() => undefined);
    },
  };
}
