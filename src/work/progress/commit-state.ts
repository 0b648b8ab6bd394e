/** What a commit carries besides its offset, in bytes: what is settled above it, what was tried, and who was heard. */
import { sayError } from '../../base/errors';
import type { Commit, Stored } from '../../ports/log';
import { byteReader, byteWriter, numberBytes, type ByteReader, type ByteWriter } from './varint';
import type { SenderPlace } from './duplicate-filter';
import type { Range } from './watermark';

export interface State {
  /** See Watermark.seen. */
  readonly seen: number;
  /** The newest record that was read; not there while none was, and in commits of versions before it. */
  readonly newest?: Newest;
  /** Rising, above the offset of the commit. */
  readonly ranges: readonly Range[];
  /** Unsettled messages that were tried, rising. */
  readonly tried: readonly Tried[];
  /** The one heard last comes first. */
  readonly senders: readonly SenderPlace[];
}
export interface Tried {
  readonly offset: number;
  /** Attempts that ended. */
  readonly attempts: number;
  /** Another one was under way. */
  readonly running: boolean;
}

/** Place of a record, and the whole millisecond in which the log took it: another log of that name has none there. */
export interface Newest {
  readonly offset: number;
  readonly timeMs: number;
}
export const takenMs = ({ timeMs }: Pick<Stored, 'timeMs'>): number => Math.max(0, Math.floor(timeMs));

/** Rises with each change that an older version would misread. */
const version = 2;
/** Without the newest record. */
const versionBefore = 1;
/** What the count of a section takes at most: sections are shorter than 2^21 items. */
const countBytes = 3;

export const emptyState = (offset: number): State => ({ seen: offset, ranges: [], tried: [], senders: [] });

/** What is left of it when the log has lost what it had from `end` on. */
export function cutState({ seen, newest, ranges, tried, senders }: State, end: number): State {
  return {
    seen: Math.min(seen, end),
    ...(newest && newest.offset < end && { newest }),
    ranges: ranges.filter(({ from }) => from < end).map(({ from, to }) => ({ from, to: Math.min(to, end) })),
    tried: tried.filter(({ offset }) => offset < end),
    senders,
  };
}

/** Bytes of the version, the two offsets and the three counts. */
const headerBytesMax = 24;
/** Bytes of the newest record, which is left out where there are hardly more. */
const newestBytesMax = 16;
/** Kept for attempts, where the ranges would take all. */
const triedBytesMin = 200;

/** How many ranges surely fit into `bytesMax` bytes, when they lie between `offset` and `seen`. */
export function rangesThatFit(bytesMax: number, span: number): number {
  const reserved = headerBytesMax + newestBytesMax + 2 * countBytes + Math.min(triedBytesMin, bytesMax >> 3);
  return Math.max(0, Math.floor((bytesMax - reserved) / (2 * numberBytes(span))));
}

/**
 * As few bytes as it takes, and at most `bytesMax`; none where that is too few for anything. What does not fit is left
 * out: first the senders that were silent longest, then the highest of what was tried, last the highest ranges, which a
 * later commit will carry.
 */
export function encodeState(offset: number, state: State, bytesMax: number): Uint8Array {
  if (bytesMax < headerBytesMax) return new Uint8Array();
  const bytes = byteWriter();
  bytes.number(version);
  bytes.number(offset);
  bytes.number(state.seen - offset);
  const newest = bytesMax < headerBytesMax + newestBytesMax ? undefined : state.newest;
  bytes.number(newest ? Math.max(1, state.seen - newest.offset) : 0);
  if (newest) bytes.number(newest.timeMs);
  section(bytes, bytesMax - 2 * countBytes, state.ranges, rangeWriter(offset));
  section(bytes, bytesMax - countBytes, state.tried, triedWriter(offset));
  section(bytes, bytesMax, state.senders, senderWriter(state.senders));
  return bytes.done();
}

/** The count of the items that fit, then these. */
function section<T>(bytes: ByteWriter, endMax: number, items: readonly T[], write: Write<T>): void {
  const body = byteWriter();
  let count = 0;
  for (const item of items) {
    const before = body.length;
    write(body, item);
    if (bytes.length + countBytes + body.length > endMax) {
      body.cut(before);
      break;
    }
    count++;
  }
  bytes.number(count);
  bytes.raw(body.done());
}
type Write<T> = (bytes: ByteWriter, item: T) => void;

function rangeWriter(offset: number): Write<Range> {
  let last = offset;
  return (bytes, { from, to }) => {
    bytes.number(from - last);
    bytes.number(to - from);
    last = to;
  };
}
function triedWriter(offset: number): Write<Tried> {
  let last = offset;
  return (bytes, tried) => {
    bytes.number(tried.offset - last);
    bytes.number(tried.attempts * 2 + (tried.running ? 1 : 0));
    last = tried.offset;
  };
}

/** Times in seconds before the newest one, which comes first in full: exact enough for 7 days. */
function senderWriter(senders: readonly SenderPlace[]): Write<SenderPlace> {
  const newest = Math.max(0, ...senders.slice(0, 1).map(seconds));
  let first = true;
  return (bytes, sender) => {
    if (first) bytes.number(newest);
    first = false;
    const hex = /^([0-9a-f]{2})+$/.test(sender.incarnation);
    const name = Buffer.from(sender.incarnation, hex ? 'hex' : 'utf8');
    bytes.number(name.length * 2 + (hex ? 1 : 0));
    bytes.raw(name);
    bytes.number(sender.position);
    bytes.number(Math.max(0, newest - seconds(sender)));
  };
}
const seconds = ({ timeMs }: SenderPlace): number => Math.floor(timeMs / 1000);

/** Throws RangeError, saying why, when the bytes are foreign, damaged, for another offset, or of a newer version. */
export function decodeState(offset: number, encoded: Uint8Array): State {
  if (encoded.length === 0) return emptyState(offset); // a group that was only given its start
  const bytes = byteReader(encoded);
  const found = bytes.number();
  if (found !== version && found !== versionBefore)
    throw new RangeError(`it says version ${found}, this is ${version}`);
  const at = bytes.number();
  if (at !== offset) throw new RangeError(`it belongs to offset ${at}, the commit says ${offset}`);
  const seen = offset + bytes.number();
  const behind = found === versionBefore ? 0 : bytes.number();
  if (behind > seen) throw new RangeError(`the newest record lies ${behind} before ${seen}`);
  const newest = behind === 0 ? {} : { newest: { offset: seen - behind, timeMs: bytes.number() } };
  const ranges = items(bytes, rangeReader(offset));
  const tried = items(bytes, triedReader(offset));
  const senders = items(bytes, senderReader());
  if (bytes.left > 0) throw new RangeError(`${bytes.left} bytes are left over`);
  if ((ranges.at(-1)?.to ?? offset) > seen) throw new RangeError('a range ends above what was seen');
  return { seen, ...newest, ranges, tried, senders };
}

/** What a commit says; where that cannot be read, what its offset alone says. */
export function restoreState(offset: number, commit: Commit | null, tell: (reason: string) => void): State {
  if (!commit) return emptyState(offset);
  try {
    return decodeState(offset, commit.state);
  } catch (error) {
    tell(sayError(error));
    return emptyState(offset);
  }
}

function items<T>(bytes: ByteReader, read: (bytes: ByteReader) => T): T[] {
  const count = bytes.number();
  if (count > bytes.left) throw new RangeError(`${count} items are announced, ${bytes.left} bytes are left`);
  return Array.from({ length: count }, () => read(bytes));
}

function rangeReader(offset: number): (bytes: ByteReader) => Range {
  let last = offset;
  return (bytes) => {
    const from = last + bytes.number();
    last = from + bytes.number();
    if (last <= from || from <= offset - 1) throw new RangeError('a range is empty');
    return { from, to: last };
  };
}
function triedReader(offset: number): (bytes: ByteReader) => Tried {
  let last = offset;
  return (bytes) => {
    last += bytes.number();
    const packed = bytes.number();
    return { offset: last, attempts: Math.floor(packed / 2), running: packed % 2 === 1 };
  };
}
function senderReader(): (bytes: ByteReader) => SenderPlace {
  let newest = -1;
  return (bytes) => {
    if (newest < 0) newest = bytes.number();
    const packed = bytes.number();
    const name = Buffer.from(bytes.raw(Math.floor(packed / 2)));
    const incarnation = name.toString(packed % 2 === 1 ? 'hex' : 'utf8');
    const position = bytes.number();
    return { incarnation, position, timeMs: (newest - bytes.number()) * 1000 };
  };
}
