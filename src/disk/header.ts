/** Looks at a data file before LMDB maps it: a damaged or foreign one would end the process or be written over. */
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { sleep, type Clock } from '../base/clock';
import { BusError, sayError } from '../base/errors';

/** Where things lie in a head page, in bytes. LMDB writes two such pages, in turns. */
const at = {
  flags: 18,
  magic: 24,
  version: 28,
  pageBytes: 48,
  freeRoot: 88,
  mainRoot: 136,
  lastPage: 144,
  transaction: 152,
  end: 160,
};
const headFlag = 0x08;
const magic = 0xbeefc0de;
const dataVersion = 2;
/** A tree without pages has no root. */
const noRoot = 2n ** 64n - 1n;
/** Pages that were freed before they were ever written may be missing at the end of a sound file; never many. */
const pagesMissingMax = 64n;

/** A file that another process is just making, or writes to, may look damaged for a moment. */
const againMs = 100;

/**
 * Rejects with a Config error that names the file when it is no LMDB data file, or one that was cut off.
 * A file that is missing or empty is fine: it becomes a new one. Writes nothing.
 */
export async function checkDataFile(path: string, clock: Clock): Promise<void> {
  if (faultOf(path) === undefined) return;
  await sleep(clock, againMs);
  const fault = faultOf(path);
  if (fault === undefined) return;
  const message = `${path} ${fault}: put back a copy, or move it away to start with an empty one`;
  throw new BusError('Config', message, { faults: [message] });
}

/** The number of the last transaction that was committed; undefined when the file cannot be read. */
export function newestTransaction(path: string): number | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const first = headAt(file, 0);
    const second = first && headAt(file, first.readUInt32LE(at.pageBytes));
    if (first === undefined || second === undefined) return undefined;
    return Math.max(first.readUIntLE(at.transaction, 6), second.readUIntLE(at.transaction, 6));
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function faultOf(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    return faultIn(file);
  } catch (error) {
    return `cannot be read (${sayError(error)})`;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function faultIn(file: number): string | undefined {
  const before = fstatSync(file);
  if (!before.isFile()) return 'is not a file';
  if (before.size === 0) return undefined;
  const first = headAt(file, 0);
  if (first === undefined) return 'was not written by busbar';
  if (first.readUInt16LE(at.version) !== dataVersion) return 'is of another version of LMDB';
  const pageBytes = first.readUInt32LE(at.pageBytes);
  if (pageBytes < 256 || pageBytes > 65_536 || (pageBytes & (pageBytes - 1)) !== 0) return 'is damaged (page size)';
  const second = headAt(file, pageBytes);
  if (second === undefined) return 'is damaged (second head)';
  const { size } = fstatSync(file); // after the heads: what they speak of was written before them
  return [first, second].some((head) => beyond(head, size, pageBytes)) ? `is cut off at ${size} bytes` : undefined;
}

function headAt(file: number, position: number): Buffer | undefined {
  const head = Buffer.alloc(at.end);
  if (readSync(file, head, 0, at.end, position) < at.end) return undefined;
  return (head.readUInt16LE(at.flags) & headFlag) !== 0 && head.readUInt32LE(at.magic) === magic ? head : undefined;
}

/** Whether a head speaks of pages that the file does not have. */
function beyond(head: Buffer, fileBytes: number, pageBytes: number): boolean {
  const pages = BigInt(Math.floor(fileBytes / pageBytes));
  const roots = [head.readBigUInt64LE(at.freeRoot), head.readBigUInt64LE(at.mainRoot)];
  return (
    roots.some((root) => root !== noRoot && root >= pages) ||
    head.readBigUInt64LE(at.lastPage) + 1n > pages + pagesMissingMax
  );
}
