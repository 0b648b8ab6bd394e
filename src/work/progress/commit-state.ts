/** Encodes the state of a commit beside its offset: settled ranges above it, attempts, and sender positions. */
import { errorMessage } from '../../base/errors';
import type { Commit, Stored } from '../../ports/log';
import { byteReader, byteWriter, numberBytes, type ByteReader, type ByteWriter } from './varint';
import type { SenderPlace } from './duplicate-filter';
import type { Range } from './watermark';

export interface State {
  /** See Watermark.seen. */
  readonly seen: number;
  /** Newest record that was read. Missing while none was read, and in commits of version 1. */
  readonly newest?: Newest;
  /** See {@link ChosenRange}. Missing while none was read, and in commits of versions 1 and 2. */
  readonly chosen?: ChosenRange;
  /** Settled ranges above the offset of the commit, in ascending order. */
  readonly ranges: readonly Range[];
  /** Unsettled messages that were tried, in ascending order. */
  readonly tried: readonly Tried[];
  /** Sender positions, most recent sender first. */
  readonly senders: readonly SenderPlace[];
}
export interface Tried {
  readonly offset: number;
  /** Number of attempts that ended. */
  readonly attempts: number;
  /** True when another attempt was running. */
  readonly running: boolean;
}

/**
 * Offset of a record, and its log time in whole milliseconds. Another log of the same name has a different record
 * there.
 */
export interface Newest {
  readonly offset: number;
  readonly timeMs: number;
}
/** Records with chosen ids in the part of a partition that the group has read. */
export interface ChosenRange {
  /** Offset of the first of them. The group ignores chosen ids of records before it, which it has possibly not read. */
  readonly from: number;
  /** The last of them, or a later record. */
  readonly newest: Newest;
}
export const takenMs = ({ timeMs }: Pick<Stored, 'timeMs'>): number => Math.max(0, Math.floor(timeMs));

/** Version of the format. It rises with each change that an older version would misread. */
const version = 3;
/**
 * Version without the range of chosen ids. It is written for partitions without chosen ids, so that earlier versions of
 * busbar can read their commits.
 */
const versionWithoutChosen = 2;
/** Version without the newest record. */
const versionWithoutNewest = 1;
/** Maximum bytes of the count of a section, since sections have fewer than 2^21 items. */
const countBytes = 3;

export const emptyState = (offset: number): State => ({ seen: offset, ranges: [], tried: [], senders: [] });

/** Returns the part of the state below `end`, for a log that lost its records from `end` on. */
export function cutState({ seen, newest, chosen, ranges, tried, senders }: State, end: number): State {
  return {
    seen: Math.min(seen, end),
    ...(newest && newest.offset < end && { newest }),
    ...(chosen && chosen.from < end && { chosen: { from: chosen.from, newest: before(chosen.newest, end) } }),
    ranges: ranges.filter(({ from }) => from < end).map(({ from, to }) => ({ from, to: Math.min(to, end) })),
    tried: tried.filter(({ offset }) => offset < end),
    senders,
  };
}

const before = ({ offset, timeMs }: Newest, end: number): Newest => ({ offset: Math.min(offset, end - 1), timeMs });

/** Maximum bytes of the version, the two offsets and the three counts. */
const headerBytesMax = 24;
/** Maximum bytes of the newest record. It is left out when the log allows hardly more than the header. */
const newestBytesMax = 16;
/**
 * Size of a state from which on it has the range of chosen ids. Its 24 bytes at most are taken from those reserved for
 * attempts, so that no fewer ranges fit.
 */
const chosenFromBytes = 256;
/** Bytes reserved for attempts, so that ranges cannot use up the whole state. */
const triedBytesMin = 200;

/** Returns the number of ranges that surely fit into `bytesMax` bytes, for offsets up to `span` above the commit. */
export function rangesThatFit(bytesMax: number, span: number): number {
  const reserved = headerBytesMax + newestBytesMax + 2 * countBytes + Math.min(triedBytesMin, bytesMax >> 3);
  return Math.max(0, Math.floor((bytesMax - reserved) / (2 * numberBytes(span))));
}

/**
 * Encodes the state in as few bytes as possible, at most `bytesMax`. Returns no bytes when the header does not fit.
 * Items that do not fit are left out in this order: senders silent longest, tried messages with the highest offsets,
 * highest ranges. A later commit carries these ranges.
 */
export function encodeState(offset: number, state: State, bytesMax: number): Uint8Array {
  if (bytesMax < headerBytesMax) return new Uint8Array();
  const bytes = byteWriter();
  const chosen = bytesMax < chosenFromBytes ? undefined : state.chosen;
  bytes.number(chosen ? version : versionWithoutChosen);
  bytes.number(offset);
  bytes.number(state.seen - offset);
  const newest = bytesMax < headerBytesMax + newestBytesMax ? undefined : state.newest;
  bytes.number(newest ? Math.max(1, state.seen - newest.offset) : 0);
  if (newest) bytes.number(newest.timeMs);
  if (chosen) {
    bytes.number(Math.max(1, state.seen - chosen.newest.offset));
    bytes.number(chosen.newest.timeMs);
    bytes.number(chosen.from);
  }
  section(bytes, bytesMax - 2 * countBytes, state.ranges, rangeWriter(offset));
  section(bytes, bytesMax - countBytes, state.tried, triedWriter(offset));
  section(bytes, bytesMax, state.senders, senderWriter(state.senders));
  return bytes.done();
}

/** Writes the count of the items that fit, then the items. */
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

/**
 * Writes the newest time in full first, and the other times as seconds before it. Seconds keep a sender's entry small.
 */
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

/**
 * Decodes a state. Throws RangeError with the reason when the bytes are foreign, damaged, of another offset or a newer
 * version.
 */
export function decodeState(offset: number, encoded: Uint8Array): State {
  if (encoded.length === 0) return emptyState(offset); // a group whose start was set has a commit without state
  const bytes = byteReader(encoded);
  const found = bytes.number();
  if (found < versionWithoutNewest || found > version)
    throw new RangeError(`it has version ${found}, this busbar supports ${version}`);
  const at = bytes.number();
  if (at !== offset) throw new RangeError(`it belongs to offset ${at}, but the commit is at ${offset}`);
  const seen = offset + bytes.number();
  const newest = found === versionWithoutNewest ? undefined : readNewest(bytes, seen);
  const newestChosen = found > versionWithoutChosen ? readNewest(bytes, seen) : undefined;
  const chosen = newestChosen && { from: bytes.number(), newest: newestChosen };
  const ranges = items(bytes, rangeReader(offset));
  const tried = items(bytes, triedReader(offset));
  const senders = items(bytes, senderReader());
  if (bytes.left > 0) throw new RangeError(`${bytes.left} bytes are left over`);
  if ((ranges.at(-1)?.to ?? offset) > seen) throw new RangeError('a range ends above the highest offset that was read');
  return { seen, ...(newest && { newest }), ...(chosen && { chosen }), ranges, tried, senders };
}

function readNewest(bytes: ByteReader, seen: number): Newest | undefined {
  const behind = bytes.number();
  if (behind > seen) throw new RangeError(`the newest record is ${behind} before ${seen}`);
  return behind === 0 ? undefined : { offset: seen - behind, timeMs: bytes.number() };
}

/**
 * Returns the state of a commit. When it cannot be decoded, reports the reason and returns the state of the offset
 * alone.
 */
export function restoreState(offset: number, commit: Commit | null, report: (reason: string) => void): State {
  if (!commit) return emptyState(offset);
  try {
    return decodeState(offset, commit.state);
  } catch (error) {
    report(errorMessage(error));
    return emptyState(offset);
  }
}

function items<T>(bytes: ByteReader, read: (bytes: ByteReader) => T): T[] {
  const count = bytes.number();
  if (count > bytes.left) throw new RangeError(`${count} items are announced, but only ${bytes.left} bytes are left`);
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
