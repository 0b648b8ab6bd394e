/**
 * Decodes values of records in both formats: MessagePack, as busbar writes it, and JSON, as other producers can write
 * it.
 */
import { isUtf8 } from 'node:buffer';
import { limits } from '../base/limits';
import { decodeBody, isDigit, type Decoded } from './codec';
import { readJson } from './exact-json';

/**
 * Decodes the value of a record from any producer. When it is invalid, returns the reason. Never throws. No bytes are
 * valid in both formats.
 *
 * JSON must be an object, an array or a string. It begins with `{`, `[` or `"` and has more bytes, which is never valid
 * MessagePack. A single byte from `0` to `9` would be a number in both formats, so it is refused. The limits of {@link
 * decodeBody} apply to both.
 */
export function decodeValue(value: Uint8Array | null, depthMax: number = limits.bodyDepthMax): Decoded {
  if (value === null || value.length === 0) return { ok: true, value: undefined };
  const [first = 0] = value;
  if (value.length === 1) return isDigit(first) ? { ok: false, reason: inTwoWays(first) } : decodeBody(value, depthMax);
  if (beginsJson.includes(first)) return decodeJson(value, depthMax);
  const decoded = decodeBody(value, depthMax);
  return decoded.ok || !isText(value, first) ? decoded : { ok: false, reason: `${neither} (${decoded.reason})` };
}

const beginsJson: readonly number[] = [0x7b, 0x5b, 0x22];
const neither = 'it is neither MessagePack nor a JSON object, array or string whose first byte is {, [ or "';

function inTwoWays(byte: number): string {
  const safe = `MessagePack cc ${byte.toString(16)}`;
  return `one byte that is ${byte} in MessagePack and ${byte - 0x30} in JSON. Send an object, or ${safe}`;
}
/** Returns true when the bytes look like other JSON, or like text with a byte order mark or leading spaces. */
function isText(bytes: Uint8Array, first: number): boolean {
  return first < 0x80 || (first === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf);
}

function decodeJson(bytes: Uint8Array, depthMax: number): Decoded {
  if (!isUtf8(bytes)) return { ok: false, reason: 'it begins like JSON, but is not valid UTF-8' };
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
  const read = readJson(text, { depthMax });
  if (read.ok) return read;
  const what = read.isJson
    ? 'it is JSON, but a value cannot represent it exactly'
    : 'it begins like JSON, but is not JSON';
  return { ok: false, reason: `${what}: ${read.reason}`, path: read.path };
}
