/** Values of records in either form: MessagePack as we write it, or JSON as tools that know only text can write it. */
import { isUtf8 } from 'node:buffer';
import { limits } from '../base/limits';
import { decodeBody, type Decoded } from './codec';
import { isForbiddenKey } from './scan';

/**
 * The value of a record that anybody may have written, or why it is none. JSON is told by its first byte: `{`, `[` or
 * `"` and more after it, which is nothing in MessagePack. The limits of {@link decodeBody} hold for both; of a key that
 * is there twice JSON takes the last. Never throws.
 */
export function decodeValue(value: Uint8Array | null): Decoded {
  if (value === null) return decodeBody(nothing);
  return isJson(value) ? decodeJson(value) : decodeBody(value);
}

const nothing = new Uint8Array(0);
const firstOfJson: readonly (number | undefined)[] = [0x7b, 0x5b, 0x22];

function isJson(bytes: Uint8Array): boolean {
  return bytes.length > 1 && firstOfJson.includes(bytes[0]);
}

function decodeJson(bytes: Uint8Array): Decoded {
  if (!isUtf8(bytes)) return { ok: false, reason: 'it begins like JSON, but is not valid UTF-8' };
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
  try {
    const value: unknown = JSON.parse(text);
    const fault = faultOf(value);
    return fault === undefined ? { ok: true, value } : { ok: false, reason: `JSON with ${fault}` };
  } catch (error) {
    return { ok: false, reason: `it begins like JSON, but is none: ${String(error)}` };
  }
}

/** What we would not send either; looked for level by level, so that nothing deep costs stack. */
function faultOf(value: unknown): string | undefined {
  let items = 0;
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    const below: unknown[] = [];
    for (const one of level) {
      if (typeof one === 'string' && !one.isWellFormed()) return 'half a surrogate pair';
      if (typeof one !== 'object' || one === null) continue;
      if (depth >= limits.bodyDepthMax) return `more than ${limits.bodyDepthMax} levels`;
      const keys = Array.isArray(one) ? [] : Object.keys(one);
      const bad = keys.find((key) => isForbiddenKey(key) || !key.isWellFormed());
      if (bad !== undefined) return `the key ${JSON.stringify(bad.slice(0, 40))}`;
      const inside: readonly unknown[] = Object.values(one);
      items += inside.length + keys.length;
      if (items > limits.bodyItemsMax) return `more than ${limits.bodyItemsMax} items`;
      for (const item of inside) below.push(item);
    }
    level = below;
  }
  return undefined;
}
