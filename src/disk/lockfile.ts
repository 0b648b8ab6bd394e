/** Looks into the lock file of an LMDB environment: who holds the write lock, and whether anybody wrote anything. */
import { closeSync, existsSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';

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

  close(): void {
    if (this.file !== undefined) closeSync(this.file);
    this.file = undefined;
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
