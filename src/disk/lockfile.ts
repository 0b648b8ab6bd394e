/** Looks into the lock file of an LMDB environment: who holds the write lock, and whether anybody wrote anything. */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  ftruncateSync,
  linkSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { sayError } from '../base/errors';

export interface Holder {
  readonly pid: number;
  /** Stopped by a signal or a debugger: it will not let go before it is continued or killed. */
  readonly stopped: boolean;
}

/** First field of every lock file of LMDB; behind it a format, then the number of the last transaction. */
const lockMagic = 0xbeefc0de;
const transactionAt = 8;
/**
 * Where the writers' mutex lies: behind whole cache lines with the readers' mutex, which with a mutex of 40 bytes (x64)
 * is one of 64 bytes and with one of 48 (arm64) two. Its first word is the thread that holds it.
 */
const mutexAt = process.arch === 'x64' ? 64 : 128;
const headBytes = mutexAt + 4;
/** A row for each reader: the number of its transaction, then its process. */
const readersAt = process.arch === 'x64' ? 208 : 224;
const readerBytes = 64;
const readerPidAt = 8;
const readerCountAt = 16;
export const readersMax = 4096;
const fileBytes = readersAt + readersMax * readerBytes;
/** The lower 30 bits of a robust mutex's word are the thread's number, the rest says whether somebody waits. */
const threadMask = 0x3fffffff;

/**
 * To be closed after the environment is, never before: LMDB's own locks on the file would go with it, as all locks of a
 * process on a file go when any of its descriptors of it is closed. Others would then take our readers for dead.
 */
export class LockFile {
  private file: number | undefined;
  private readonly head = Buffer.alloc(headBytes);

  constructor(private readonly path: string) {}

  private read(): boolean {
    try {
      if (this.file === undefined && existsSync(this.path)) this.file = openSync(this.path, 'r+');
      if (this.file === undefined || readSync(this.file, this.head, 0, headBytes, 0) < headBytes) return false;
      return this.head.readUInt32LE(0) === lockMagic;
    } catch {
      return false; // not ours to read, or another layout: then there is nothing to tell
    }
  }

  /** Undefined if nobody does, or if it cannot be told. */
  holder(): Holder | undefined {
    if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch) || !this.read()) return undefined;
    const thread = this.head.readUInt32LE(mutexAt) & threadMask;
    return thread === 0 ? undefined : ofThread(thread);
  }

  /** A line for messages: who holds the write lock, as far as that can be told. */
  sayHolder(): string {
    const holder = this.holder();
    if (holder === undefined) return 'nobody seems to hold the write lock';
    const stopped = holder.stopped ? ', which is stopped (SIGSTOP): continue or kill it' : '';
    return `the write lock is held by process ${holder.pid}${stopped}`;
  }

  /** Whether an open environment's lock file was written over by anything but LMDB. */
  isDamaged(): boolean {
    return this.file !== undefined && !this.read();
  }

  /** Changes whenever anybody wrote; undefined if it cannot be told. */
  lastTransaction(): number | undefined {
    return this.read() ? this.head.readUIntLE(transactionAt, 6) : undefined;
  }

  /** Only for who holds the write lock. */
  setLastTransaction(number: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeUIntLE(number, 0, 6);
    if (this.read() && this.file !== undefined) writeSync(this.file, bytes, 0, bytes.length, transactionAt);
  }

  /** Numbers of other processes that have read from the environment; some can have ended since. */
  readers(): readonly number[] {
    if (process.platform !== 'linux' || !this.read() || this.file === undefined) return [];
    const count = Math.min(this.head.readUInt32LE(readerCountAt), readersMax);
    const rows = Buffer.alloc(count * readerBytes);
    readSync(this.file, rows, 0, rows.length, readersAt);
    const pids = Array.from({ length: count }, (_, n) => rows.readUInt32LE(n * readerBytes + readerPidAt));
    return [...new Set(pids)].filter((pid) => pid !== 0 && pid !== process.pid);
  }

  /** Other processes that have the environment open: LMDB keeps a lock of the kernel on the file while it does. */
  users(): readonly number[] {
    const inode = statSync(this.path, { throwIfNoEntry: false })?.ino;
    if (inode === undefined || process.platform !== 'linux') return [];
    try {
      // 1: POSIX  ADVISORY  READ <pid> <device>:<inode> <start> <end>
      const locks = readFileSync('/proc/locks', 'latin1').matchAll(/^\d+: POSIX +\S+ +\S+ (\d+) \S+:(\d+) /gm);
      const pids = [...locks].filter(([, , locked]) => Number(locked) === inode).map(([, pid]) => Number(pid));
      return [...new Set(pids)].filter((pid) => pid !== process.pid);
    } catch {
      return this.readers().filter((pid) => hasMapped(pid, String(inode)));
    }
  }

  /** Why LMDB could not open the file, which would end the process. */
  faultBeforeOpening(users: readonly number[]): string | undefined {
    const found = statSync(this.path, { throwIfNoEntry: false });
    if (found === undefined) return undefined;
    if (!found.isFile()) return `${this.path} is not a file: remove it`;
    try {
      accessSync(this.path, constants.R_OK | constants.W_OK);
    } catch (error) {
      return `${this.path} cannot be written (${sayError(error)}): chmod 600 ${this.path}`;
    }
    if (users.length === 0 || this.read()) return undefined;
    const pids = users.join(', ');
    return `${this.path} is damaged while other processes use it (${pids}): stop all of them, then start again`;
  }

  /**
   * Makes a file that was cut as long as it was: LMDB writes to its map once more when it closes, which would end the
   * process. Only for an environment that is not used any more.
   */
  restoreLength(bytes: number): void {
    if (this.file !== undefined && fstatSync(this.file).size < bytes) ftruncateSync(this.file, bytes);
  }

  close(): void {
    if (this.file !== undefined) closeSync(this.file);
    this.file = undefined;
  }
}

/**
 * Makes the lock file of a new environment with all of its blocks. LMDB would leave holes in it, and a process that
 * fills one through its map ends with SIGBUS when the disk is full.
 */
export function makeLockFile(folder: string): void {
  const path = join(folder, 'lock.mdb');
  if (existsSync(path)) return;
  const draft = join(folder, `~lock.${process.pid}.${drafts++}`);
  try {
    writeFileSync(draft, Buffer.alloc(fileBytes), { mode: 0o600, flag: 'wx' });
    linkSync(draft, path);
  } catch (error) {
    // Another process made it at the same moment.
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}
let drafts = 0;

/** Whether a process has mapped a file. The number of a process that ended can belong to another program by now. */
function hasMapped(pid: number, inode: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/maps`, 'latin1').includes(` ${inode} `);
  } catch {
    return false;
  }
}

/** The process of a thread; undefined when it is gone, which the next writer notices by itself. */
function ofThread(thread: number): Holder | undefined {
  try {
    const status = readFileSync(`/proc/${thread}/status`, 'latin1');
    const pid = Number(/^Tgid:\s*(\d+)/m.exec(status)?.[1]);
    return Number.isInteger(pid) ? { pid, stopped: /^State:\s*[tT]/m.test(status) } : undefined;
  } catch {
    return undefined;
  }
}
