/** Reads the two head pages of an LMDB data file without LMDB, since LMDB ends the process on a damaged file. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** One of the two trees of a file: of free pages, and of the data. */
export interface Tree {
  /** Page number of the root; undefined for a tree without pages. */
  readonly root: number | undefined;
  readonly depth: number;
  readonly flags: number;
}
/** Content of one head page: the state of the file as of one transaction. */
export interface Head {
  readonly pageBytes: number;
  readonly free: Tree;
  readonly main: Tree;
  readonly lastPage: number;
  readonly transaction: number;
}
export type Heads = readonly [Head, Head];

/** Offsets in a head page, in bytes. LMDB writes transaction N into head page N % 2. */
const at = { flags: 18, magic: 24, version: 28, free: 48, main: 96, lastPage: 144, transaction: 152, end: 160 };
/** Offsets in the description of a tree, in bytes. */
const inTree = { pageBytes: 0, flags: 4, depth: 6, root: 40 };
const headFlag = 0x08;
const magic = 0xbeefc0de;
const dataVersion = 2;
const noRoot = 2n ** 64n - 1n;
/**
 * Pages that can be missing at the end of a sound file, because they were freed before they were written. There are
 * never many.
 */
const pagesMissingMax = 64;
const pageBytesMin = 256;
const pageBytesMax = 65_536;
/** Deepest tree. A key has at most 511 bytes, so a deeper tree would hold more than any disk. */
const depthMax = 32;
const integerKeys = 0x08;
/** Flags of trees with other keys or with several values per key. This store creates none. */
const foreignFlags = 0x76;

/** Reads both heads of a file with pages of `pageBytes` into `bytes`. Returns false if the file is too short. */
export function readHeadBytes(file: number, pageBytes: number, bytes: Buffer): boolean {
  return (
    readSync(file, bytes, 0, headBytes, 0) + readSync(file, bytes, headBytes, headBytes, pageBytes) === 2 * headBytes
  );
}
export const headBytes = at.end;

/** Returns the heads of an open file, or the fault if it has none. */
export function readHeads(file: number): Heads | string {
  const first = headAt(file, 0);
  if (first === undefined) return 'was not written by busbar';
  if (first.readUInt16LE(at.version) !== dataVersion) return 'is of another version of LMDB';
  const { pageBytes } = describe(first);
  const isSize = pageBytes >= pageBytesMin && pageBytes <= pageBytesMax && (pageBytes & (pageBytes - 1)) === 0;
  if (!isSize) return 'is damaged (page size)';
  const second = headAt(file, pageBytes);
  return second === undefined ? 'is damaged (second head)' : [describe(first), describe(second)];
}

export function newestOf([first, second]: Heads): Head {
  return first.transaction > second.transaction ? first : second;
}

/** Returns the number of the last committed transaction, or undefined if the file cannot be read. */
export function newestTransaction(path: string): number | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const heads = readHeads(file);
    return typeof heads === 'string' ? undefined : newestOf(heads).transaction;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** Returns the fault that the heads and the size of an open file show, if any. An empty file is a new one. */
export function faultInHeads(file: number): string | undefined {
  const before = fstatSync(file);
  if (!before.isFile()) return 'is not a file';
  if (before.size === 0) return undefined;
  const heads = readHeads(file);
  if (typeof heads === 'string') return heads;
  const { size } = fstatSync(file); // read after the heads, since the pages that they name were written before them
  return faultOfHeads(heads, size);
}

/** Returns the fault of the heads, given a file size that was read after them. */
export function faultOfHeads(heads: Heads, fileBytes: number): string | undefined {
  const [first, second] = heads;
  if (second.pageBytes !== first.pageBytes) return 'is damaged (page size of the second head)';
  if (heads.some((head) => !isTree(head.free, integerKeys) || !isTree(head.main, 0))) return 'is damaged (a tree)';
  const isTurn = heads.every((head, n) => head.transaction % 2 === n || head.transaction === 0);
  if (!isTurn || Math.abs(first.transaction - second.transaction) > 1) return 'is damaged (transaction numbers)';
  const pages = Math.floor(fileBytes / first.pageBytes);
  return heads.some((head) => isBeyond(head, pages)) ? `is cut off at ${fileBytes} bytes` : undefined;
}

function isTree({ root, depth, flags }: Tree, wanted: number): boolean {
  return (flags & foreignFlags) === 0 && (flags & integerKeys) === wanted && depth <= depthMax && depth > 0 === !!root;
}

/** Returns whether a head names pages that the file does not have. */
function isBeyond({ free, main, lastPage }: Head, pages: number): boolean {
  return [free, main].some(({ root = 0 }) => root >= pages) || lastPage + 1 > pages + pagesMissingMax;
}

function headAt(file: number, position: number): Buffer | undefined {
  const head = Buffer.alloc(at.end);
  if (readSync(file, head, 0, at.end, position) < at.end) return undefined;
  return (head.readUInt16LE(at.flags) & headFlag) !== 0 && head.readUInt32LE(at.magic) === magic ? head : undefined;
}

function describe(head: Buffer): Head {
  return {
    pageBytes: head.readUInt32LE(at.free + inTree.pageBytes),
    free: treeAt(head, at.free),
    main: treeAt(head, at.main),
    lastPage: Number(head.readBigUInt64LE(at.lastPage)),
    transaction: Number(head.readBigUInt64LE(at.transaction)),
  };
}
function treeAt(head: Buffer, position: number): Tree {
  const root = head.readBigUInt64LE(position + inTree.root);
  return {
    root: root === noRoot ? undefined : Number(root),
    depth: head.readUInt16LE(position + inTree.depth),
    flags: head.readUInt16LE(position + inTree.flags),
  };
}
