/** Manages one LMDB environment of this process: its files, the room on their disk, and the condition of both. */
import type { RootDatabase } from 'lmdb';
import { sleep, type Clock } from '../base/clock';
import { BusError, isBusError, errorMessage, type SendOutcome } from '../base/errors';
import type { WriteKind } from './changes';
import { Condition } from './condition';
import type { StoreFiles } from './files';
import type { Gate } from './gate';
import type { LockFile } from './lockfile';
import type { Room } from './room';
import { Writes } from './writes';

/**
 * Time until a waiting write is reported: shorter for a lock held by a stopped process, since a running one can have a
 * slow disk.
 */
const stoppedReportAfterMs = 1_000;
const slowReportAfterMs = 5_000;
/** Calls of {@link Environment.check} within this time count as one. */
const checkMsMin = 500;
/** Number of looks after which a write that LMDB has not answered counts as lost, if no process can hold the lock. */
const lostAfterLooks = 20;
/** Limits the wait for the cause of a failed write. The cause is a promise, which lmdb sometimes does not settle. */
const causeMs = 1_000;
/** Limits the close of an unusable environment. One of its writes can wait for a damaged lock. */
const brokenMs = 1_000;

export interface EnvironmentParts {
  readonly path: string;
  readonly db: RootDatabase<Buffer, Buffer>;
  readonly lock: LockFile;
  readonly gate: Gate;
  readonly files: StoreFiles;
  readonly room: Room;
  readonly clock: Clock;
  readonly writeMs: number;
}

export class Environment {
  readonly path: string;
  readonly db: RootDatabase<Buffer, Buffer>;
  readonly lock: LockFile;
  readonly gate: Gate;
  readonly room: Room;
  readonly condition: Condition;
  readonly writes: Writes;
  private lookedMs = -Infinity;
  private checkedMs = -Infinity;
  /** The last write that was rejected for lack of room. */
  private full: { readonly bytes: number; readonly isAppend: boolean } | undefined;

  constructor(private readonly parts: EnvironmentParts) {
    const { path, db, lock, gate, room, clock } = parts;
    [this.path, this.db, this.lock, this.gate, this.room] = [path, db, lock, gate, room];
    this.condition = new Condition(path);
    this.writes = new Writes(clock);
  }

  /** Checks the files, unless that was done within `everyMs`. */
  look(everyMs: number): void {
    const { clock, files } = this.parts;
    const nowMs = clock.mono();
    if (nowMs - this.lookedMs < everyMs) return;
    this.lookedMs = nowMs;
    this.judge(files.look());
  }
  private judge(fault: ReturnType<StoreFiles['look']>): void {
    const { files } = this.parts;
    if (fault?.kind !== 'damaged') return this.condition.setFile(fault);
    this.lock.restoreLength(files.lockBytes);
    this.fail(fault.reason);
  }

  /**
   * Reserves room for a write. Throws DiskFull if there is none, and reports that, except for a divisible write.
   * {@link Room.give} releases the room.
   */
  takeRoom(bytes: number, kind?: WriteKind): void {
    const isAppend = kind === 'append';
    const fault = this.room.fault(bytes, isAppend);
    if (fault === undefined) return this.room.take(bytes);
    if (kind !== 'divisible') {
      this.full = { bytes, isAppend };
      this.condition.setPassing(fault.message);
    }
    throw fault;
  }

  /** Checks the environment as {@link Store.check} describes. */
  check(): boolean {
    const { files, clock } = this.parts;
    // Several buses of a process share an environment, and each of them calls this.
    if (clock.mono() - this.checkedMs >= checkMsMin) {
      this.checkedMs = clock.mono();
      this.judge(files.look() ?? this.damagedLock());
      this.condition.setPassing(this.stillFull() ?? this.stalled());
    }
    return this.condition.fault?.final !== true;
  }
  private damagedLock(): ReturnType<StoreFiles['look']> {
    return this.lock.isDamaged() ? { kind: 'damaged', reason: `${this.path}/lock.mdb was overwritten` } : undefined;
  }
  private stillFull(): string | undefined {
    if (this.full === undefined) return undefined;
    const fault = this.room.fault(this.full.bytes, this.full.isAppend);
    if (fault === undefined) this.full = undefined;
    return fault?.message;
  }
  private stalled(): string | undefined {
    const { waitedMs, looks } = this.writes.look();
    if (looks === 0) return undefined;
    const holder = this.lock.holder();
    if (holder === 'none' && looks >= lostAfterLooks) {
      this.fail('LMDB has not answered a write, and no process holds the write lock');
      return undefined;
    }
    const isStopped = typeof holder === 'object' && holder.stopped;
    const reportAfterMs = isStopped ? stoppedReportAfterMs : slowReportAfterMs;
    if (waitedMs < reportAfterMs) return undefined;
    return `a write has been waiting for ${Math.round(waitedMs)} ms: ${this.lock.describeHolder()}`;
  }
  private fail(cause: string): void {
    this.condition.break(cause);
    this.writes.end(new Error(cause));
  }

  /** Returns the error for a write that LMDB rejected, or that is not safe although LMDB made it. */
  async failed(error: unknown, bytes: number): Promise<Error> {
    if (isBusError(error)) return error;
    const cause = await this.causeOf(error);
    const isFull = this.room.fault(bytes, true) !== undefined;
    // A full disk leaves the files unchanged. After any other failure, the content of the disk is unknown.
    if (!isFull || damagesMemory(cause))
      this.condition.break(`a write failed, so the content of the disk is unknown: ${cause}`);
    return this.unknown(isFull ? `the disk is full (${cause})` : cause);
  }
  private unknown(cause: string): BusError<'Unreachable'> {
    return unreachable(
      this.path,
      'unknown',
      0,
      `the write failed, and whether its data was stored is unknown: ${cause}`,
    );
  }
  /** Returns the cause of a failed write. lmdb rejects with an error that holds a promise of the cause. */
  private async causeOf(error: unknown): Promise<string> {
    if (typeof error !== 'object' || error === null || !('commitError' in error)) return errorMessage(error);
    const unsettled = sleep(this.parts.clock, causeMs).then(() => errorMessage(error));
    try {
      return errorMessage(await Promise.race([error.commitError, unsettled]));
    } catch (reason) {
      return errorMessage(reason);
    }
  }

  /**
   * Returns the same promise, which rejects with Unreachable after the time that a write can take. That time is short
   * if the store is broken, since nothing is then written.
   */
  within<T>(writing: Promise<T>): Promise<T> {
    const { clock } = this.parts;
    const limitMs = this.condition.fault?.final === true ? brokenMs : this.parts.writeMs;
    const late = `the write took longer than ${limitMs} ms, and whether its data was stored is unknown`;
    return limited(writing, clock, limitMs, () =>
      unreachable(this.path, 'unknown', limitMs, `${late}; ${this.lock.describeHolder()}`),
    );
  }

  async close(): Promise<void> {
    try {
      await this.db.close();
    } finally {
      this.lock.close();
      this.room.close();
      this.parts.files.close();
    }
  }
}

/**
 * Returns whether the failure can have damaged memory. LMDB formats this message into a buffer that is too small (see
 * {@link Room}), and overwrites the memory after it.
 */
function damagesMemory(cause: string): boolean {
  return cause.includes('Attempting to write page');
}

/** Returns the same promise, which rejects with `late()` after `limitMs`. */
export function limited<T>(promise: Promise<T>, clock: Clock, limitMs: number, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(limitMs, () => reject(late()));
    promise.then(resolve, reject).finally(() => timer.cancel());
  });
}

export function unreachable(
  path: string,
  outcome: SendOutcome,
  waitedMs: number,
  cause: string,
): BusError<'Unreachable'> {
  return new BusError('Unreachable', `${path}: ${cause}`, { outcome, waitedMs, cause });
}
