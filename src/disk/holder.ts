/** Finds out which process holds the write lock of an LMDB environment, so that an error can name it. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

export interface Holder {
  readonly pid: number;
  /** Stopped by a signal or a debugger: it will not let go before it is continued or killed. */
  readonly stopped: boolean;
}

/** First field of every lock file of LMDB. */
const lockMagic = 0xbeefc0de;
/**
 * Where the writers' mutex lies in the lock file: behind one cache line with the readers' mutex, which with a mutex of
 * 40 bytes (x64) fits into 64 bytes and with one of 48 (arm64) into 128. Its first word is the thread that holds it.
 */
const mutexAt: Partial<Record<NodeJS.Architecture, number>> = { x64: 64, arm64: 128 };
/** The lower 30 bits of a robust mutex's word are the thread's number, the rest says whether somebody waits. */
const threadMask = 0x3fffffff;

/** Who holds the write lock of the environment whose lock file is `lockPath`; undefined if nobody does or it cannot be told. */
export function lockHolder(lockPath: string): Holder | undefined {
  const at = mutexAt[process.arch];
  if (process.platform !== 'linux' || at === undefined) return undefined;
  const head = firstBytes(lockPath, at + 4);
  if (head === undefined || head.readUInt32LE(0) !== lockMagic) return undefined;
  const thread = head.readUInt32LE(at) & threadMask;
  return thread === 0 ? undefined : ofThread(thread);
}

/** A line for messages: who holds it, as far as that can be told. */
export function sayHolder(lockPath: string): string {
  const holder = lockHolder(lockPath);
  if (holder === undefined) return 'nobody seems to hold the write lock';
  return `the write lock is held by process ${holder.pid}${holder.stopped ? ', which is stopped (SIGSTOP): continue or kill it' : ''}`;
}

function firstBytes(path: string, bytes: number): Buffer | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const head = Buffer.alloc(bytes);
    return readSync(file, head, 0, bytes, 0) === bytes ? head : undefined;
  } catch {
    return undefined; // not there (yet), or not ours to read: then there is nothing to tell
  } finally {
    if (file !== undefined) closeSync(file);
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
