/** Watches the files of an open store: that they are still at their path, have not become shorter, and are sound. */
import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isCode, errorMessage } from '../base/errors';
import { faultOfHeads, headBytes, newestOf, readHeadBytes, readHeads } from './header';

/**
 * Fault of a file. 'gone': another file or none is at the path, as long as this is so. 'damaged': permanent. 'unknown':
 * the file system does not show the file.
 */
export interface FileFault {
  readonly kind: 'gone' | 'damaged' | 'unknown';
  readonly reason: string;
}
/**
 * Number of looks until heads count as damaged. They can look damaged while another process writes them, or when
 * transactions end between the reads of the two. A damaged file looks the same at every look.
 */
const looksMax = 20;

interface Seen {
  readonly path: string;
  readonly device: number;
  readonly inode: number;
  /** Size when last seen. Files of a store only grow, so a smaller size means damage. */
  bytes: number;
}

/**
 * Files of an open store. Only {@link StoreFiles.look} detects that they were removed, replaced, cut or overwritten,
 * since system calls on them keep succeeding. Reading the map of a cut or damaged file ends the process (SIGBUS,
 * SIGSEGV).
 */
export class StoreFiles {
  /** Descriptor of the data file, open for reading. */
  readonly file: number;
  private readonly data: Seen;
  private readonly lock: Seen;
  /** Newest transaction that was found in the data file. */
  private newest = 0;
  private pageBytes = 4_096;
  /** Heads when they were last found sound. While they are unchanged, they need not be decoded. */
  private sound = Buffer.alloc(2 * headBytes);
  private now = Buffer.alloc(2 * headBytes);

  /** Records the identity of both files, which must exist. */
  constructor(folder: string) {
    this.data = seenAt(join(folder, 'data.mdb'));
    this.lock = seenAt(join(folder, 'lock.mdb'));
    this.file = openSync(this.data.path, 'r');
  }

  get dataPath(): string {
    return this.data.path;
  }
  /** Size as of the last look. */
  get dataBytes(): number {
    return this.data.bytes;
  }
  get lockBytes(): number {
    return this.lock.bytes;
  }

  /** Returns the fault of the files, if there is one. Costs about 10 µs. */
  look(): FileFault | undefined {
    const isRead = readHeadBytes(this.file, this.pageBytes, this.now);
    const fault = lookAt(this.data) ?? lookAt(this.lock);
    if (fault !== undefined) return fault;
    if (isRead && this.now.equals(this.sound)) return undefined;
    const damage = this.lookInside();
    if (damage === undefined) [this.now, this.sound] = [this.sound, this.now];
    return damage;
  }

  private lookInside(): FileFault | undefined {
    for (let looks = 1; ; looks++) {
      const heads = readHeads(this.file);
      // Read the size after the heads: another process makes the file longer before it writes heads that need the
      // length.
      const bytes = fstatSync(this.file).size;
      const reason = typeof heads === 'string' ? heads : (faultOfHeads(heads, bytes) ?? this.wentBack(heads));
      if (reason === undefined) return undefined;
      if (looks === looksMax) return { kind: 'damaged', reason: `${this.data.path} ${reason}` };
    }
  }
  private wentBack(heads: Exclude<ReturnType<typeof readHeads>, string>): string | undefined {
    const { transaction } = newestOf(heads);
    if (transaction < this.newest)
      return `went back from transaction ${this.newest} to ${transaction}: it was overwritten`;
    this.newest = transaction;
    this.pageBytes = heads[0].pageBytes;
    return undefined;
  }

  close(): void {
    closeSync(this.file);
  }
}

function seenAt(path: string): Seen {
  const { dev, ino, size } = statSync(path);
  return { path, device: dev, inode: ino, bytes: size };
}

function lookAt(file: Seen): FileFault | undefined {
  const { path } = file;
  try {
    const now = statSync(path, { throwIfNoEntry: false });
    if (now === undefined) return { kind: 'gone', reason: `${path} was removed or renamed` };
    if (now.ino !== file.inode || now.dev !== file.device) {
      return { kind: 'gone', reason: `${path} was replaced by another file` };
    }
    if (now.size < file.bytes) {
      return { kind: 'damaged', reason: `${path} was cut from ${file.bytes} to ${now.size} bytes` };
    }
    file.bytes = now.size;
    const isOwners = (now.mode & 0o600) === 0o600;
    return isOwners
      ? undefined
      : { kind: 'unknown', reason: `${path} is not readable and writable for its owner: run chmod 600` };
  } catch (error) {
    // A part of the path is no longer a folder, or is a link to itself.
    if (isCode(error, 'ENOTDIR', 'ELOOP')) return { kind: 'gone', reason: `${path} was removed or replaced` };
    return { kind: 'unknown', reason: `${path} cannot be inspected: ${errorMessage(error)}` };
  }
}
