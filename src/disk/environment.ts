/** One LMDB environment of this process: the files, the room on their disk, and the condition that both are in. */
import type { RootDatabase } from 'lmdb';
import { sleep, type Clock } from '../base/clock';
import { BusError, isBusError, sayError, type SendOutcome } from '../base/errors';
import { Condition } from './condition';
import type { StoreFiles } from './files';
import type { Gate } from './gate';
import type { LockFile } from './lockfile';
import type { Room } from './room';
import { Writes } from './writes';

/** Time until a stopped process that holds the write lock is reported; a running one has a slow disk, and longer. */
const stoppedReportAfterMs = 1_000;
const slowReportAfterMs = 5_000;
/** Calls of {@link Environment.check} within this time count as one. */
const checkMsMin = 500;
/** A write that LMDB has not answered after so many looks, although no process holds the lock, is lost. */
const lostAfterLooks = 20;
/** The reason of a failed write is a promise, which the package sometimes forgets to settle. */
const causeMs = 1_000;
/** Time to close an environment that cannot be used: a write of it can wait for a lock that is damaged. */
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
  /** The last write that was refused for want of room. */
  private full: { readonly bytes: number; readonly isAppend: boolean } | undefined;

  constructor(private readonly parts: EnvironmentParts) {
    const { path, db, lock, gate, room, clock } = parts;
    [this.path, this.db, this.lock, this.gate, this.room] = [path, db, lock, gate, room];
    this.condition = new Condition(path);
    this.writes = new Writes(clock);
  }

  /** Looks at the files, unless that was done within `everyMs`. */
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

  /** Throws DiskFull; {@link Room.give} ends what it counts. */
  takeRoom(bytes: number, isAppend: boolean): void {
    const fault = this.room.fault(bytes, isAppend);
    if (fault === undefined) return this.room.take(bytes);
    this.full = { bytes, isAppend };
    this.condition.setPassing(fault.message);
    throw fault;
  }

  /** See {@link Store.check}. */
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
    return this.lock.isDamaged() ? { kind: 'damaged', reason: `${this.path}/lock.mdb was written over` } : undefined;
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
    if (holder === undefined && looks >= lostAfterLooks) {
      this.fail('LMDB has not answered a write, and no process holds the write lock');
      return undefined;
    }
    const reportAfterMs = holder?.stopped === true ? stoppedReportAfterMs : slowReportAfterMs;
    if (waitedMs < reportAfterMs) return undefined;
    return `a write waits for ${Math.round(waitedMs)} ms: ${this.lock.sayHolder()}`;
  }
  private fail(cause: string): void {
    this.condition.break(cause);
    this.writes.end(new Error(cause));
  }

  /** The error for a write that LMDB rejected, or that is not safe although LMDB made it. */
  async failed(error: unknown, bytes: number): Promise<Error> {
    if (isBusError(error)) return error;
    const cause = await this.causeOf(error);
    const isFull = this.room.fault(bytes, true) !== undefined;
    // A full disk leaves the files as they were. After anything else it is not known what is on the disk.
    if (!isFull || damagesMemory(cause))
      this.condition.break(`a write failed, so it is not known what is on the disk: ${cause}`);
    return this.unknown(isFull ? `the disk is full (${cause})` : cause);
  }
  private unknown(cause: string): BusError<'Unreachable'> {
    return unreachable(this.path, 'unknown', 0, `writing failed, whether it was written is unknown: ${cause}`);
  }
  /** The package rejects with a promise of the reason inside. */
  private async causeOf(error: unknown): Promise<string> {
    if (typeof error !== 'object' || error === null || !('commitError' in error)) return sayError(error);
    const unsettled = sleep(this.parts.clock, causeMs).then(() => sayError(error));
    try {
      return sayError(await Promise.race([error.commitError, unsettled]));
    } catch (reason) {
      return sayError(reason);
    }
  }

  /**
   * The same promise, but rejects with Unreachable after the time that a write can take. Where nothing is written any
   * more, that is short.
   */
  within<T>(writing: Promise<T>): Promise<T> {
    const { clock } = this.parts;
    const limitMs = this.condition.fault?.final === true ? brokenMs : this.parts.writeMs;
    const late = `writing took longer than ${limitMs} ms, whether it was written is unknown`;
    return limited(writing, clock, limitMs, () =>
      unreachable(this.path, 'unknown', limitMs, `${late}; ${this.lock.sayHolder()}`),
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

/** LMDB formats this message into a buffer that is too small (see {@link Room}), which can damage the memory behind. */
function damagesMemory(cause: string): boolean {
  return cause.includes('Attempting to write page');
}

/** The same promise, but rejects with `late()` after `limitMs`. */
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
