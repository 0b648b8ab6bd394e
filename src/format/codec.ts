/** Encodes bodies as MessagePack. Values and bytes that would not be preserved exactly are refused on both sides. */
import { limits } from '../base/limits';
import { readBody } from './body-reader';
import type { Side } from './body-errors';
import { writeBody } from './body-writer';
import { BadBytes } from './byte-source';

/** A body that was read, or the reason why it cannot be read. */
export type Decoded =
  | { readonly ok: true; readonly value: unknown }
  | {
      readonly ok: false;
      /** The description of the fault, which contains its path. */
      readonly reason: string;
      /** The path of the invalid field, outermost part first. */
      readonly path?: readonly PropertyKey[];
    };

/**
 * Encodes `value` into newly allocated memory. Errors name it as `side` of `entry`.
 *
 * These values are preserved at any depth and from any realm:
 * - null, booleans, strings, and bigints of up to 100 digits;
 * - numbers, including NaN, infinities and -0;
 * - Date, Map, Set, and Uint8Array (a Buffer is decoded as a Uint8Array);
 * - arrays and plain objects.
 *
 * `undefined` as the whole body is encoded as no bytes. A property that is undefined counts as absent. Symbol keys,
 * properties that are not enumerable, and extra properties of arrays and bytes are not encoded, as in JSON.
 *
 * Throws Invalid with the path of the field for:
 * - undefined in arrays, Maps and Sets;
 * - functions, symbols, class instances, cycles, invalid Dates, and half surrogate pairs;
 * - the keys `__proto__`, `constructor` and `prototype`;
 * - own properties of a Map, Set or Date;
 * - nesting deeper than `depthMax`;
 * - more than 100,000 items (elements, keys and values), where a Map or Set counts for eight, a Date for two;
 * - any value that throws when it is read.
 *
 * Throws TooLarge beyond `bytesMax`.
 */
export function encodeBody(
  value: unknown,
  bytesMax: number,
  side: Side = 'input',
  entry?: string,
  depthMax: number = limits.bodyDepthMax,
): Uint8Array {
  if (value === undefined) return nothing;
  if (typeof value === 'number' && isDigit(value)) return Uint8Array.of(0xcc, value);
  return writeBody(value, { bytesMax, depthMax }, side, entry === undefined ? side : `${side} of ${entry}`);
}

/**
 * Returns true for a byte that is a digit in JSON and a number from 48 to 57 in MessagePack. It is never written as a
 * whole body, so that a reader of both formats can refuse it.
 */
export function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39 && Number.isInteger(byte);
}

/**
 * Decodes a body into a value that shares no memory with `bytes`. For invalid bytes it returns the reason. Never
 * throws.
 */
export function decodeBody(bytes: Uint8Array, depthMax: number = limits.bodyDepthMax): Decoded {
  const { length } = bytes;
  if (length === 0) return { ok: true, value: undefined };
  try {
    return { ok: true, value: readBody(bytes, length, depthMax) };
  } catch (error) {
    if (error instanceof BadBytes) return { ok: false, reason: error.message, path: error.path };
    return { ok: false, reason: `not readable: ${String(error)}` };
  }
}

const nothing = new Uint8Array(0);
