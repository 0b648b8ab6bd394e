/**
 * Rejects writes that exceed the room on the disk before LMDB sees them, since LMDB's handling of that error damages
 * memory.
 */
import { closeSync, fstatSync, openSync, statfsSync, writeSync } from 'node:fs';
import { BusError } from '../base/errors';
import type { Change } from './changes';
import type { StoreFiles } from './files';
import { newestOf, readHeads } from './header';

/** Free bytes, beyond those of the write, with which no further check is needed. */
const plentyBytes = 64 * 1024 * 1024;
/** Bytes reserved for other files of the bus: announcements, sockets, settings. Less on a small disk. */
const leftBytesMax = 2 * 1024 * 1024;
/**
 * Bytes of a commit or a trim for which an append leaves room, so that waiting messages can be handled and trimmed
 * while the disk is full. They are multiplied like those of the append itself. Less on a small disk.
 */
const commitBytesMax = 256 * 1024;
/** Part of a small disk that is reserved instead. */
const leftPart = 1 / 16;
/** Step by which the file is extended. */
const stepBytes = 256 * 1024;
/** Bytes of the pages that every transaction writes: those above the changed ones, free pages, the head. */
const overheadBytes = 64 * 1024;
/** Page size of a new file. A file created elsewhere can have another one. */
const pageBytes = 4_096;
/** Largest value stored in its node's page. A larger one gets overflow pages. */
const inPageBytesMax = 1_300;
/** Bytes that a small value needs besides its content. */
const nodeBytes = 64;
/**
 * Least factor applied to a write. Only the number of other processes is known, and each can write as much at the same
 * time.
 */
const shareMin = 4;
/**
 * File systems that write a block to a new place each time: btrfs, ZFS, bcachefs and F2FS. A longer file reserves no
 * space on them.
 */
const copyOnWrite = new Set([0x9123683e, 0x2fc12fc1, 0xca451a4e, 0xf2f52010]);

export interface RoomParts {
  /** Folder of the store. */
  readonly path: string;
  readonly files: Pick<StoreFiles, 'file' | 'dataPath'>;
  readonly mapBytes: number;
  /** Returns the number of other processes that have opened the store. */
  readonly others: () => number;
}

/**
 * Room for writes on the disk of a store. lmdb 3.5.6 formats the error of a failed `pwrite` into a buffer that is too
 * small (`last_error` in mdb_page_flush). The process can then end later with "malloc(): mismatching next->prev_size".
 * When the disk is nearly full, this class therefore extends the data file with zeros before LMDB writes. It accepts
 * only what fits.
 */
export class Room {
  /** Bytes of writes that have begun and not ended. */
  private inFlightBytes = 0;
  private readonly data: number;
  /** Descriptor that writes only at the end of the data file. */
  private readonly tail: number;

  constructor(private readonly parts: RoomParts) {
    this.data = parts.files.file;
    this.tail = openSync(parts.files.dataPath, 'a');
  }

  /** Counts the bytes as being written, until {@link Room.give}. */
  take(bytes: number): void {
    this.inFlightBytes += bytes;
  }
  give(bytes: number): void {
    this.inFlightBytes -= bytes;
  }

  /** Returns the error if this many bytes cannot be written now. */
  fault(bytes: number, isAppend: boolean): BusError<'DiskFull'> | undefined {
    const disk = this.disk();
    if (disk === undefined) return undefined;
    const { freeBytes, diskBytes, type } = disk;
    const flying = this.inFlightBytes + bytes;
    const leftBytes = Math.min(leftBytesMax, diskBytes * leftPart);
    if (freeBytes >= plentyBytes + shareMin * flying && fstatSync(this.data).size < this.parts.mapBytes / 2)
      return undefined;
    const share = Math.max(shareMin, 2 * (this.parts.others() + 1));
    const commitBytes = isAppend ? Math.min(share * commitBytesMax, diskBytes * leftPart) : 0;
    const wanted = flying * share + commitBytes;
    const room = copyOnWrite.has(type) ? freeBytes - leftBytes : this.ahead(wanted, freeBytes - leftBytes);
    return room >= wanted ? undefined : full(this.parts.path, Math.max(0, room), wanted);
  }

  /** Returns the bytes of the file after the last page in use. Extends the file until there are as many as wanted. */
  private ahead(wanted: number, leftBytes: number): number {
    const heads = readHeads(this.data);
    if (typeof heads === 'string') return 0;
    const { lastPage, pageBytes: size } = newestOf(heads);
    const usedBytes = (lastPage + 1) * size;
    if (usedBytes + wanted > this.parts.mapBytes) return 0;
    let left = leftBytes;
    let ahead = fstatSync(this.data).size - usedBytes;
    while (ahead < wanted && left >= stepBytes) {
      const added = append(this.tail, Buffer.alloc(stepBytes));
      if (added === 0) break;
      ahead = fstatSync(this.data).size - usedBytes;
      left -= added;
    }
    return ahead;
  }

  /** Returns the state of the disk, or undefined if the file system does not answer, which is not a full disk. */
  private disk(): { readonly freeBytes: number; readonly diskBytes: number; readonly type: number } | undefined {
    try {
      const { bavail, bsize, blocks, type } = statfsSync(this.parts.path);
      return { freeBytes: bavail * bsize, diskBytes: blocks * bsize, type };
    } catch {
      return undefined;
    }
  }

  close(): void {
    closeSync(this.tail);
  }
}

/** Returns the most bytes that a write can add to the file. */
export function bytesOf(changes: readonly Change[]): number {
  let bytes = overheadBytes;
  for (const { key, value } of changes) {
    if (value === null) bytes += pageBytes;
    else if (value.length > inPageBytesMax) bytes += value.length + 2 * pageBytes;
    else bytes += 2 * (key.length + value.length) + nodeBytes;
  }
  return bytes;
}

/** Appends zeros and returns the number of bytes; 0 when the disk accepted none. It never overwrites LMDB's data. */
function append(file: number, zeros: Buffer): number {
  try {
    return writeSync(file, zeros);
  } catch {
    return 0;
  }
}

function full(path: string, freeBytes: number, neededBytes: number): BusError<'DiskFull'> {
  const message =
    `${path}: nothing was written, because the disk is full: ${freeBytes} bytes are free for it, ` +
    `${neededBytes} are needed. Free space on the disk. Writing then resumes by itself.`;
  return new BusError('DiskFull', message, { outcome: 'not-sent', path, freeBytes, neededBytes });
}
