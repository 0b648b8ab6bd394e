/** Values of records in either form: MessagePack as busbar writes it, or JSON as tools that know only text write it. */
import { isUtf8 } from 'node:buffer';
import { limits } from '../base/limits';
import { decodeBody, isDigit, type Decoded } from './codec';
import { readJson } from './exact-json';

/**
 * The value of a record that any producer can have written, or why it is none. No bytes are a body in both forms.
 * JSON is an object, array or string: it begins with `{`, `[` or `"` and has more bytes, which is nothing in
 * MessagePack. One byte from `0` to `9` would be a number in either form, and is refused. The limits of
 * {@link decodeBody} hold for both. Never throws.
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
const neither =
  'it is neither MessagePack nor a JSON object, array or string without anything before its first {, [ or "';

function inTwoWays(byte: number): string {
  const safe = `MessagePack cc ${byte.toString(16)}`;
  return `one byte that is ${byte} in MessagePack and ${byte - 0x30} in JSON; send an object, or ${safe}`;
}
/** Other JSON, or text with a byte order mark or spaces before it. */
function isText(bytes: Uint8Array, first: number): boolean {
  return first < 0x80 || (first === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf);
}

function decodeJson(bytes: Uint8Array, depthMax: number): Decoded {
  if (!isUtf8(bytes)) return { ok: false, reason: 'it begins like JSON, but is not valid UTF-8' };
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
  const read = readJson(text, { depthMax });
  if (read.ok) return read;
  const what = read.isJson ? 'JSON that no value is exactly' : 'it begins like JSON, but is none';
  return { ok: false, reason: `${what}: ${read.reason}`, path: read.path };
}
