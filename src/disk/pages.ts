/** Reads all pages of an LMDB data file that its trees reach. LMDB trusts them, and a damaged page ends the process. */
import { fstatSync, readSync } from 'node:fs';
import type { Clock } from '../base/clock';
import { newestOf, readHeads, type Head, type Tree } from './header';

/** Offsets in a page, in words of two bytes in the byte order of the machine. */
const at = { number: 0, flags: 9, lower: 10, upper: 11, overflowPages: 10, nodes: 12 };
const headBytes = 2 * at.nodes;
const kinds = { branch: 1, leaf: 2, overflow: 4 };
const kindMask = 0x2f;
/** Offsets in a node, in words. The key follows them, and the value follows the key. */
const inNode = { low: 0, high: 1, flags: 2, keyBytes: 3 };
const nodeHeadBytes = 8;
/** Flag of a node whose value is stored in overflow pages. Its bytes hold: first page, transaction, number of pages. */
const bigValue = 1;
const placeBytes = 24;
/** Pages read at a time. */
const readPagesMax = 64;
/** Pages after which the event loop runs, so that the check does not block it. */
const turnPages = 1_024;

/** Overflow pages that a leaf names, and the bytes that they must hold. */
interface Overflow {
  readonly page: number;
  readonly pages: number;
  readonly bytes: number;
}
interface Walk {
  readonly file: number;
  readonly pageBytes: number;
  /** Number of complete pages in the file. */
  readonly pages: number;
  readonly untilMs: number;
  readonly clock: Clock;
}

/**
 * Resolves to the fault of the first bad page, or undefined. If other processes commit during the check, they can
 * overwrite pages that it has not read yet. The result is then undefined, as it is when the check exceeds `limitMs`.
 */
export async function faultInPages(file: number, clock: Clock, limitMs: number): Promise<string | undefined> {
  if (fstatSync(file).size === 0) return undefined;
  const heads = readHeads(file);
  if (typeof heads === 'string') return heads;
  const head = newestOf(heads);
  const pages = Math.floor(fstatSync(file).size / head.pageBytes);
  const walk = { file, pageBytes: head.pageBytes, pages, untilMs: clock.mono() + limitMs, clock };
  const fault = (await faultInTree(walk, head.free)) ?? (await faultInTree(walk, head.main));
  if (fault === undefined) return undefined;
  // The pages of a transaction are reused by the second one after it at the earliest.
  const now = readHeads(file);
  return typeof now !== 'string' && newestOf(now).transaction <= head.transaction + 1 ? fault : undefined;
}

/** Returns whether the file ends before the last page that its newest head counts. */
export function isShort(file: number): boolean {
  const heads = readHeads(file);
  return typeof heads !== 'string' && lastByte(newestOf(heads)) > fstatSync(file).size;
}
function lastByte({ lastPage, pageBytes }: Head): number {
  return (lastPage + 1) * pageBytes;
}

async function faultInTree(walk: Walk, { root, depth }: Tree): Promise<string | undefined> {
  let level = root === undefined ? [] : [root];
  for (let height = depth; height > 0; height--) {
    const below: number[] = [];
    const overflows: Overflow[] = [];
    const kind = height > 1 ? kinds.branch : kinds.leaf;
    const fault = (await readAll(walk, level, kind, below, overflows)) ?? (await faultInOverflows(walk, overflows));
    if (fault !== undefined || walk.clock.mono() > walk.untilMs) return fault;
    level = below.toSorted((a, b) => b - a);
  }
  return undefined;
}

/** Reads pages, the last of the file first, since its end is damaged most often. Consecutive pages are read at once. */
async function readAll(
  walk: Walk,
  numbers: readonly number[],
  kind: number,
  below: number[],
  overflows: Overflow[],
): Promise<string | undefined> {
  const { file, pageBytes, pages } = walk;
  const bytes = Buffer.alloc(readPagesMax * pageBytes);
  const words = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
  for (let index = 0; index < numbers.length;) {
    const last = numbers[index] ?? 0;
    let count = 1;
    while (count < readPagesMax && numbers[index + count] === last - count) count++;
    const first = last - count + 1;
    if (first < 2 || last >= pages) return `page ${first} is not in the file, which has ${pages}`;
    if (readSync(file, bytes, 0, count * pageBytes, first * pageBytes) < count * pageBytes) return 'it was truncated';
    for (let n = 0; n < count; n++) {
      const word = (n * pageBytes) / 2;
      if (!isPage(words, word, first + n, kind)) return `page ${first + n} is not of its tree`;
      if (!readNodes(bytes, words, word, pageBytes, below, overflows)) return `page ${first + n} is damaged`;
    }
    if (Math.floor(index / turnPages) !== Math.floor((index += count) / turnPages) && (await isOver(walk))) break;
  }
  return undefined;
}

/** Yields to the event loop, and returns whether the time limit has passed. */
async function isOver({ clock, untilMs }: Walk): Promise<boolean> {
  await new Promise<void>((resolve) => setImmediate(resolve));
  return clock.mono() > untilMs;
}

async function faultInOverflows(walk: Walk, overflows: readonly Overflow[]): Promise<string | undefined> {
  const head = Buffer.alloc(headBytes);
  const words = new Uint16Array(head.buffer, head.byteOffset, at.nodes);
  let looked = 0;
  for (const { page, pages, bytes } of overflows) {
    const isInside = page >= 2 && pages >= 1 && page + pages <= walk.pages;
    if (!isInside) return `pages ${page} to ${page + pages - 1} are not in the file, which has ${walk.pages}`;
    readSync(walk.file, head, 0, headBytes, page * walk.pageBytes);
    const isWhole = pages * walk.pageBytes - headBytes >= bytes && numberAt(words, at.overflowPages, 2) === pages;
    if (!isPage(words, 0, page, kinds.overflow) || !isWhole) return `page ${page} is not a value`;
    if (++looked % turnPages === 0 && (await isOver(walk))) break;
  }
  return undefined;
}

/** Returns whether the page at a word has this number and kind. */
function isPage(words: Uint16Array, word: number, number: number, kind: number): boolean {
  return numberAt(words, word + at.number, 4) === number && ((words[word + at.flags] ?? 0) & kindMask) === kind;
}
function numberAt(words: Uint16Array, word: number, count: number): number {
  let number = 0;
  for (let n = count - 1; n >= 0; n--) number = number * 0x10000 + (words[word + n] ?? 0);
  return number;
}

/**
 * Collects the pages that a page names: pages below a branch, overflow pages of a leaf. Returns false for a damaged
 * page.
 */
function readNodes(
  bytes: Buffer,
  words: Uint16Array,
  word: number,
  pageBytes: number,
  below: number[],
  overflows: Overflow[],
): boolean {
  const isBranch = ((words[word + at.flags] ?? 0) & kinds.branch) !== 0;
  const [lower = 0, upper = 0] = [words[word + at.lower], words[word + at.upper]];
  const end = pageBytes - headBytes; // offsets of nodes count from the end of the header
  if (lower % 2 !== 0 || lower > upper || upper > end) return false;
  for (let n = 0; n < lower / 2; n++) {
    const place = words[word + at.nodes + n] ?? 0;
    if (place % 2 !== 0 || place < upper || place + nodeHeadBytes > end) return false;
    const node = word + at.nodes + place / 2;
    const valueAt = place + nodeHeadBytes + (words[node + inNode.keyBytes] ?? 0);
    const flags = words[node + inNode.flags] ?? 0;
    const size = numberAt(words, node + inNode.low, 2);
    if (isBranch) {
      if (valueAt > end) return false;
      below.push(size + flags * 2 ** 32);
    } else if ((flags & bigValue) === 0) {
      if (valueAt + size > end) return false;
    } else {
      if (valueAt + placeBytes > end) return false;
      overflows.push(overflowAt(bytes, 2 * (word + at.nodes) + valueAt, size));
    }
  }
  return true;
}
function overflowAt(bytes: Buffer, position: number, size: number): Overflow {
  const [page, pages] = [bytes.readBigUInt64LE(position), bytes.readBigUInt64LE(position + 16)];
  return { page: Number(page), pages: Number(pages), bytes: size };
}
