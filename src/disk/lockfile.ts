/** Reads the lock file of an LMDB environment: the holder of the write lock, and the number of the last transaction. */
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
import { isCode, errorMessage } from '../base/errors';

export interface Holder {
  readonly pid: number;
  /** Stopped by a signal or a debugger. It keeps the lock until it is continued or killed. */
  readonly stopped: boolean;
}

/**
 * Holder of the write lock: a process, none, or unknown if it cannot be determined now. An unknown holder must not
 * count as none, since a process can then be writing. 'unsupported': it can never be determined on this system.
 */
export type Holding = Holder | 'none' | 'unknown' | 'unsupported';
/** Returns whether waiting for the holder is of no use: there is none, or its end could not be seen. */
export function isFree(holding: Holding): boolean {
  return holding === 'none' || holding === 'unsupported';
}

/**
 * Content of a lock file. 'new': it does not exist, or LMDB has not used it yet. 'foreign': it was overwritten or cut.
 * 'unread': a system call failed, for example because this process has no free file descriptor.
 */
type Content = 'sound' | 'new' | 'foreign' | 'unread';

/** First field of every lock file of LMDB. After it follow a format, and the number of the last transaction. */
const lockMagic = 0xbeefc0de;
const transactionAt = 8;
/**
 * Offset of the writers' mutex. It follows the cache lines of the readers' mutex: one line of 64 bytes on x64 (mutex of
 * 40 bytes), two on arm64 (48 bytes). Its first word is the thread that holds it.
 */
const mutexAt = process.arch === 'x64' ? 64 : 128;
const headBytes = mutexAt + 4;
/** Offset of the readers' table. It has a row per reader: the number of its transaction, then its process. */
const readersAt = process.arch === 'x64' ? 208 : 224;
const readerBytes = 64;
const readerPidAt = 8;
const readerCountAt = 16;
export const readersMax = 4096;
const fileBytes = readersAt + readersMax * readerBytes;
/** Mask of a robust mutex's word. The lower 30 bits are the thread's number; the rest shows whether a thread waits. */
const threadMask = 0x3fffffff;

/**
 * A lock file that must be closed after its environment, never before. A process loses all locks on a file when it
 * closes any descriptor of it. Other processes would then take the readers of this one for dead.
 */
export class LockFile {
  private file: number | undefined;
  private readonly head = Buffer.alloc(headBytes);

  constructor(private readonly path: string) {}

  private content(): Content {
    try {
      if (this.file === undefined && !existsSync(this.path)) return 'new';
      this.file ??= openSync(this.path, 'r+');
      if (readSync(this.file, this.head, 0, headBytes, 0) < headBytes) return 'foreign';
      const magic = this.head.readUInt32LE(0);
      return magic === lockMagic ? 'sound' : magic === 0 ? 'new' : 'foreign';
    } catch {
      return 'unread';
    }
  }
  private read(): boolean {
    return this.content() === 'sound';
  }

  /** Returns the process that holds the write lock. */
  holder(): Holding {
    if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) return 'unsupported';
    const content = this.content();
    if (content !== 'sound') return content === 'new' ? 'none' : 'unknown';
    const thread = this.head.readUInt32LE(mutexAt) & threadMask;
    return thread === 0 ? 'none' : ofThread(thread);
  }

  /** Returns a line for messages that names the holder of the write lock, if it can be determined. */
  describeHolder(): string {
    const holder = this.holder();
    if (holder === 'none') return 'no process holds the write lock';
    if (typeof holder === 'string') return 'the process that holds the write lock cannot be determined';
    const stopped = holder.stopped ? ', which is stopped (SIGSTOP). Continue or kill it' : '';
    return `the write lock is held by process ${holder.pid}${stopped}`;
  }

  /** Returns whether the lock file of an open environment was overwritten by a program other than LMDB. */
  isDamaged(): boolean {
    return this.file !== undefined && ['new', 'foreign'].includes(this.content());
  }

  /** Returns a number that changes with every write of any process; undefined if it cannot be read. */
  lastTransaction(): number | undefined {
    return this.read() ? this.head.readUIntLE(transactionAt, 6) : undefined;
  }

  /** Sets the number of the last transaction. The caller must hold the write lock. */
  setLastTransaction(number: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeUIntLE(number, 0, 6);
    if (this.read() && this.file !== undefined) writeSync(this.file, bytes, 0, bytes.length, transactionAt);
  }

  /** Returns the pids of other processes that have read from the environment. Some can have ended since. */
  readers(): readonly number[] {
    if (process.platform !== 'linux' || !this.read() || this.file === undefined) return [];
    const count = Math.min(this.head.readUInt32LE(readerCountAt), readersMax);
    const rows = Buffer.alloc(count * readerBytes);
    readSync(this.file, rows, 0, rows.length, readersAt);
    const pids = Array.from({ length: count }, (_, n) => rows.readUInt32LE(n * readerBytes + readerPidAt));
    return [...new Set(pids)].filter((pid) => pid !== 0 && pid !== process.pid);
  }

  /**
   * Returns the pids of other processes that have the environment open. LMDB keeps a kernel lock on the file while it
   * is open.
   */
  users(): readonly number[] {
    const inode = statSync(this.path, { throwIfNoEntry: false })?.ino;
    if (inode === undefined || process.platform !== 'linux') return [];
    try {
      // 1: POSIX ADVISORY READ <pid> <device>:<inode> <start> <end>
      const locks = readFileSync('/proc/locks', 'latin1').matchAll(/^\d+: POSIX +\S+ +\S+ (\d+) \S+:(\d+) /gm);
      const pids = [...locks].filter(([, , locked]) => Number(locked) === inode).map(([, pid]) => Number(pid));
      return [...new Set(pids)].filter((pid) => pid !== process.pid);
    } catch {
      return this.readers().filter((pid) => hasMapped(pid, String(inode)));
    }
  }

  /** Returns the reason why LMDB could not open the file, which would end the process; undefined if it can. */
  faultBeforeOpening(users: readonly number[]): string | undefined {
    const found = statSync(this.path, { throwIfNoEntry: false });
    if (found === undefined) return undefined;
    if (!found.isFile()) return `${this.path} is not a file. Remove it`;
    try {
      accessSync(this.path, constants.R_OK | constants.W_OK);
    } catch (error) {
      return `${this.path} cannot be written (${errorMessage(error)}). Run chmod 600 ${this.path}`;
    }
    // LMDB reports a file that cannot be read.
    if (users.length === 0 || ['sound', 'unread'].includes(this.content())) return undefined;
    const pids = users.join(', ');
    return `${this.path} is damaged while other processes use it (${pids}). Stop all of them, then start them again`;
  }

  /**
   * Restores the length of a file that was cut. LMDB writes to its map once more when it closes, which would otherwise
   * end the process. Only for an environment that is no longer used.
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
 * Creates the lock file of a new environment with all of its blocks. LMDB would leave holes in it. A process that fills
 * a hole through its map ends with SIGBUS when the disk is full.
 */
export function makeLockFile(folder: string): void {
  const path = join(folder, 'lock.mdb');
  if (existsSync(path)) return;
  const draft = join(folder, `~lock.${process.pid}.${drafts++}`);
  try {
    writeFileSync(draft, Buffer.alloc(fileBytes), { mode: 0o600, flag: 'wx' });
    linkSync(draft, path);
  } catch (error) {
    // Another process created it at the same moment.
    if (!isCode(error, 'EEXIST')) throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}
let drafts = 0;

/** Returns whether a process has mapped a file. The pid of a process that ended can belong to another program. */
function hasMapped(pid: number, inode: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/maps`, 'latin1').includes(` ${inode} `);
  } catch {
    return false;
  }
}

/**
 * Returns the process of a thread. The kernel clears the lock of a thread that ends, so a thread that is not found
 * belongs to another pid namespace, such as that of a container.
 */
function ofThread(thread: number): Holding {
  try {
    const status = readFileSync(`/proc/${thread}/status`, 'latin1');
    const pid = Number(/^Tgid:\s*(\d+)/m.exec(status)?.[1]);
    return Number.isInteger(pid) ? { pid, stopped: /^State:\s*[tT]/m.test(status) } : 'unknown';
  } catch {
    return 'unknown';
  }
}
