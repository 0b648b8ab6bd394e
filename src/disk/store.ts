/** Guarded writes that are durable when they resolve, and views for reading, on an LMDB environment. */
import type { Clock } from '../base/clock';
import { BusError, sayError, sentence } from '../base/errors';
import { asBuffer, submit, type Change, type Guard } from './changes';
import { copyRemedy } from './check';
import type { StoreFault } from './condition';
import type { Environment } from './environment';
import { bytesOf } from './room';

export interface Entry {
  readonly value: Buffer;
  readonly version: number;
}

/**
 * All reading is of one moment until {@link Store.refresh}, or until the turn of the event loop ends. Reading throws
 * StoreBroken, and writing rejects with it, once the files were removed, replaced or cut, or the outcome of a write is
 * unknown.
 */
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
   * durable. Rejects with DiskFull when there is no room (nothing was written; `append` leaves the last of it to other
   * writes), with StoreBroken when the store cannot be used, with Unreachable when the outcome is unknown. Can take
   * long while another process holds the write lock: {@link Store.within} limits that.
   */
  write(guard: Guard | null, changes: readonly Change[], append?: 'append'): Promise<boolean>;
  /** The same promise, but rejects with Unreachable after the time limit: whether it was written is unknown then. */
  within<T>(writing: Promise<T>): Promise<T>;
  /** A line for errors: which process holds the write lock. */
  holder(): string;
  /** Changes whenever anybody wrote anything; undefined when that cannot be told. */
  lastTransaction(): number | undefined;
  /** Forgets readers that died, so that their pages can be used again. */
  forgetDeadReaders(): void;
  /** Looks at the files, the disk and the writes under way; call it every second. False for a store that is broken. */
  check(): boolean;
  /** Lets go; the last holder in this process closes the files. */
  release(): Promise<void>;
}
export interface StoreOptions {
  readonly clock: Clock;
  /** false: survives the process but not the machine, and a power cut may leave a damaged file. */
  readonly durable: boolean;
  /** How long a write may take, in ms. */
  readonly writeMs?: number;
  /** Called whenever the store stops working, for another reason, or works again (undefined). */
  readonly onChange?: (fault: StoreFault | undefined) => void;
}

/** `letGoOnce` is called at most once. */
export function makeStore(
  environment: Environment,
  { clock, onChange }: StoreOptions,
  letGoOnce: () => Promise<void>,
): Store {
  const { path, db, lock, gate, condition } = environment;
  const unlisten = onChange && condition.onChange(onChange);
  let releasedMs: number | undefined;

  async function write(guard: Guard | null, changes: readonly Change[], append?: 'append'): Promise<boolean> {
    const opening = gate.wait();
    if (opening) await opening;
    if (releasedMs !== undefined)
      throw new BusError('Closed', `${path} was closed`, { outcome: 'not-sent', sinceMs: releasedMs });
    environment.look(0);
    condition.check();
    const bytes = bytesOf(changes);
    environment.takeRoom(bytes, append !== undefined);
    try {
      const written = await environment.writes.run(submit(db, guard, changes));
      environment.look(0);
      condition.check('unknown'); // what was written into a file that is no longer at its path is not safe
      return written;
    } catch (error) {
      throw await environment.failed(error, bytes);
    } finally {
      environment.room.give(bytes);
    }
  }

  /** Reading the map of a file that was cut ends the process, so the files are looked at before, at most every ms. */
  function read<T>(look: () => T): T {
    environment.look(1);
    condition.check();
    return sound(look);
  }
  function sound<T>(look: () => T): T {
    try {
      return look();
    } catch (error) {
      if (!sayError(error).includes('MDB_')) throw error;
      const message = `${path} is damaged (${sayError(error)}): ${copyRemedy}`;
      throw new BusError('Config', message, { faults: [message] }, error, sentence(copyRemedy));
    }
  }

  return {
    path,
    refresh: () => read(() => db.resetReadTxn()),
    view: (key) => sound(() => db.getBinaryFast(asBuffer(key))), // called for each record, behind a `refresh`
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
    holder: () => lock.sayHolder(),
    lastTransaction: () => lock.lastTransaction(),
    forgetDeadReaders: () => read(() => void db.readerCheck()),
    check: () => environment.check(),
    async release() {
      if (releasedMs !== undefined) return;
      releasedMs = clock.now();
      unlisten?.();
      // What still waits for the write lock may wait for ever; then the files stay open until the process ends.
      await environment.within(letGoOnce()).catch(() => undefined);
    },
  };
}
