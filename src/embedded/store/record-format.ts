/** Encodes a record of the log as one compact block of bytes. A checksum detects damage. */
import { crc32 } from 'node:zlib';
import type { LogRecord, Stored } from '../../ports/log';

/**
 * Layout of a record: version u8 · checksum u32 of all bytes that follow · time u48 in ms · flags u8 · headers u8 ·
 * key bytes u32 · value bytes u32 · per header: name bytes u8, text bytes u32 · names and texts · key · value
 */
const version = 1;
const at = { checksum: 1, time: 5, flags: 11, headers: 12, keyBytes: 13, valueBytes: 17, table: 21 };
const checkedFrom = at.time;
const hasKey = 1;
const hasValue = 2;
const tableRow = 5;
const headersMax = 255;

/** Error for a stored record that cannot be decoded; the message names the cause. */
export class BadRecord extends Error {
  override readonly name = 'BadRecord';
}

/** Encodes a record. Throws a RangeError when it has too many headers, or a header whose name is too long. */
export function encodeRecord(record: LogRecord, timeMs: number): Buffer {
  const headers = Object.entries(record.headers);
  if (headers.length > headersMax)
    throw new RangeError(`a record has at most ${headersMax} headers, not ${headers.length}`);
  const keyBytes = record.key?.length ?? 0;
  const valueBytes = record.value?.length ?? 0;
  let end = at.table + headers.length * tableRow;
  for (const [name, text] of headers) end += Buffer.byteLength(name) + Buffer.byteLength(text);
  const bytes = Buffer.allocUnsafe(end + keyBytes + valueBytes);
  bytes[0] = version;
  bytes.writeUIntBE(timeMs, at.time, 6);
  bytes[at.flags] = (record.key === null ? 0 : hasKey) | (record.value === null ? 0 : hasValue);
  bytes[at.headers] = headers.length;
  bytes.writeUInt32BE(keyBytes, at.keyBytes);
  bytes.writeUInt32BE(valueBytes, at.valueBytes);
  writeHeaders(bytes, headers);
  if (record.key !== null) bytes.set(record.key, end);
  if (record.value !== null) bytes.set(record.value, end + keyBytes);
  bytes.writeUInt32BE(crc32(part(bytes, checkedFrom, bytes.length - checkedFrom)), at.checksum);
  return bytes;
}

function writeHeaders(bytes: Buffer, headers: readonly (readonly [string, string])[]): void {
  let row = at.table;
  let text = at.table + headers.length * tableRow;
  for (const [name, value] of headers) {
    const nameBytes = bytes.write(name, text);
    const textBytes = bytes.write(value, text + nameBytes);
    if (nameBytes > 255) throw new RangeError(`the name of a header has at most 255 bytes, not ${nameBytes}`);
    bytes[row] = nameBytes;
    bytes.writeUInt32BE(textBytes, row + 1);
    row += tableRow;
    text += nameBytes + textBytes;
  }
}

/**
 * Decodes bytes that {@link encodeRecord} wrote, and copies them out of `view`. Throws BadRecord when they are damaged
 * or of another version.
 */
export function decodeRecord(view: Uint8Array, partition: number, offset: number): Stored {
  const bytes = Buffer.allocUnsafe(view.length);
  // Do not pass `view` itself: lmdb lends a longer buffer, and only its `length` property states the number of valid
  // bytes.
  bytes.set(new Uint8Array(view.buffer, view.byteOffset, view.length));
  if (bytes.length < at.table) throw new BadRecord(`only ${bytes.length} bytes`);
  if (bytes[0] !== version) throw new BadRecord(`layout ${bytes[0]}, this version supports ${version}`);
  const checked = part(bytes, checkedFrom, bytes.length - checkedFrom); // made in a third of the time of a `subarray`
  if (crc32(checked) !== bytes.readUInt32BE(at.checksum)) throw new BadRecord('wrong checksum');
  return contentOf(bytes, partition, offset);
}

function contentOf(bytes: Buffer, partition: number, offset: number): Stored {
  const flags = bytes[at.flags] ?? 0;
  const count = bytes[at.headers] ?? 0;
  const keyBytes = bytes.readUInt32BE(at.keyBytes);
  const headers: Record<string, string> = {};
  let text = at.table + count * tableRow;
  for (let row = at.table, left = count; left > 0; left -= 1, row += tableRow) {
    const nameEnd = text + (bytes[row] ?? 0);
    const textEnd = nameEnd + bytes.readUInt32BE(row + 1);
    setHeader(headers, nameIn(bytes, text, nameEnd), bytes.toString('utf8', nameEnd, textEnd));
    text = textEnd;
  }
  return {
    partition,
    offset,
    key: (flags & hasKey) === 0 ? null : part(bytes, text, keyBytes),
    value: (flags & hasValue) === 0 ? null : part(bytes, text + keyBytes, bytes.length - text - keyBytes),
    headers,
    timeMs: bytes.readUIntBE(at.time, 6),
  };
}

/** Returns a part without copying. It is a Uint8Array, as the port declares, not a Buffer. */
function part(bytes: Buffer, from: number, length: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + from, length);
}

/** Returns the name of a header. Almost every record has only `bus`, and a comparison costs less than a string. */
function nameIn(bytes: Buffer, from: number, to: number): string {
  const isBus = to - from === 3 && bytes[from] === 0x62 && bytes[from + 1] === 0x75 && bytes[from + 2] === 0x73;
  return isBus ? 'bus' : bytes.toString('utf8', from, to);
}

function setHeader(headers: Record<string, string>, name: string, text: string): void {
  if (name !== '__proto__') headers[name] = text;
  else Object.defineProperty(headers, name, { value: text, enumerable: true, configurable: true, writable: true });
}

/** Returns the time at which the record was appended, without decoding the rest. */
export function timeOf(view: Uint8Array): number {
  let timeMs = 0;
  for (let index = at.time; index < at.flags; index += 1) timeMs = timeMs * 256 + (view[index] ?? 0);
  return timeMs;
}
