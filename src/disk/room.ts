/** Refuses writes for which the disk has no room before LMDB sees them: its error path for that damages memory. */
import { closeSync, fstatSync, openSync, statfsSync, writeSync } from 'node:fs';
import { BusError } from '../base/errors';
import type { Change } from './changes';
import type { StoreFiles } from './files';
import { newestOf, readHeads } from './header';

/** With this much free, and the bytes of what is being written, nothing else is looked at. */
const plentyBytes = 64 * 1024 * 1024;
/** Left to other files of the bus: announcements, sockets, settings; less on a small disk. */
const leftBytesMax = 2 * 1024 * 1024;
/** Left to commits, so that what waits can be handled and trimmed while the disk is full; less on a small disk. */
const commitBytesMax = 1024 * 1024;
/** On a small disk, this part of it is left. */
const leftPart = 1 / 16;
/** The file is made longer in such steps. */
const stepBytes = 256 * 1024;
/** Pages that any transaction writes: those above the changed ones, free pages, the head. */
const overheadBytes = 64 * 1024;
/** Of a new file; one that was made elsewhere can have others. */
const pageBytes = 4_096;
/** A larger value gets pages of its own. */
const inPageBytesMax = 1_300;
/** What a small value takes beside its bytes. */
const nodeBytes = 64;
/** Of other processes nothing is known but how many they are: each may write as much as this one at the same time. */
const shareMin = 4;
/** btrfs, ZFS, bcachefs and F2FS write a block to a new place each time, so that a longer file is no reserve there. */
const copyOnWrite = new Set([0x9123683e, 0x2fc12fc1, 0xca451a4e, 0xf2f52010]);

export interface RoomParts {
  /** The folder of the store. */
  readonly path: string;
  readonly files: Pick<StoreFiles, 'file' | 'dataPath'>;
  readonly mapBytes: number;
  /** How many other processes have opened the store. */
  readonly others: () => number;
}

/**
 * lmdb 3.5.6 formats the error of a failed `pwrite` into a buffer that is too small (`last_error` in mdb_page_flush),
 * so that the process can end later with "malloc(): mismatching next->prev_size". Where the disk is nearly full, the
 * data file is therefore made longer ahead of LMDB, by zeros that it overwrites, and only what fits in is written.
 */
export class Room {
  /** Of writes that have begun and not ended. */
  private inFlightBytes = 0;
  private readonly data: number;
  /** Writes at the end of the data file only. */
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

  /** Why so many bytes cannot be written now. */
  fault(bytes: number, isAppend: boolean): BusError<'DiskFull'> | undefined {
    const disk = this.disk();
    if (disk === undefined) return undefined;
    const { freeBytes, diskBytes, type } = disk;
    const flying = this.inFlightBytes + bytes;
    const leftBytes = Math.min(leftBytesMax, diskBytes * leftPart);
    const commitBytes = isAppend ? Math.min(commitBytesMax, diskBytes * leftPart) : 0;
    if (freeBytes >= plentyBytes + shareMin * flying && fstatSync(this.data).size < this.parts.mapBytes / 2)
      return undefined;
    const wanted = flying * Math.max(shareMin, 2 * (this.parts.others() + 1)) + commitBytes;
    const room = copyOnWrite.has(type) ? freeBytes - leftBytes : this.ahead(wanted, freeBytes - leftBytes);
    return room >= wanted ? undefined : full(this.parts.path, Math.max(0, room), wanted);
  }

  /** Bytes of the file behind the last page in use; makes the file longer until there are as many as wanted. */
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

  /** Undefined where the file system does not answer: that is not a full disk. */
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

/** How much a write can add to the file at most. */
export function bytesOf(changes: readonly Change[]): number {
  let bytes = overheadBytes;
  for (const { key, value } of changes) {
    if (value === null) bytes += pageBytes;
    else if (value.length > inPageBytesMax) bytes += value.length + 2 * pageBytes;
    else bytes += 2 * (key.length + value.length) + nodeBytes;
  }
  return bytes;
}

/** Bytes that were appended; 0 when the disk took none. It is never written over what LMDB wrote. */
function append(file: number, zeros: Buffer): number {
  try {
    return writeSync(file, zeros);
  } catch {
    return 0;
  }
}

function full(path: string, freeBytes: number, neededBytes: number): BusError<'DiskFull'> {
  const message =
    `${path}: nothing was written, because the disk is full: ${freeBytes} bytes are left for it, ` +
    `${neededBytes} are needed. Free space on the disk; writing goes on by itself.`;
  return new BusError('DiskFull', message, { outcome: 'not-sent', path, freeBytes, neededBytes });
}
