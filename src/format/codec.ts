/** Bodies as bytes: MessagePack, and nothing passes on either side that would not come back the same. */
import { limits } from '../base/limits';
import { readBody } from './body-reader';
import { writeBody, type Side } from './body-writer';
import { BadBytes } from './byte-source';

export type Decoded =
  | { readonly ok: true; readonly value: unknown }
  | {
      readonly ok: false;
      /** With the place of the field that is wrong. */
      readonly reason: string;
      /** Of that field, from the outside in. */
      readonly path?: readonly PropertyKey[];
    };

/**
 * The bytes of `value`, which errors call `side` of `entry`, in memory of their own. What passes unchanged, nested as
 * you like and from any realm: null, booleans, numbers (NaN, infinities and -0 too), strings, bigints to 100 digits,
 * Date, Uint8Array (a Buffer comes back as one), Map, Set, arrays and plain objects. `undefined` as the whole body is
 * no bytes at all; a property that is undefined counts as absent.
 *
 * Throws Invalid, with the path of the field, for anything else: undefined in arrays, Maps and Sets, functions,
 * symbols, instances of classes, cycles, invalid Dates, half surrogate pairs, the keys __proto__, constructor and
 * prototype, properties of a Map, Set or Date, what is nested deeper than `depthMax` or has more than 100,000 items
 * (elements, keys and values; a Map or Set counts for eight more, a Date for one more), and whatever throws when read.
 * Throws TooLarge beyond `bytesMax`. As with JSON, symbol keys, what is not enumerable, and properties of arrays and
 * bytes that are no elements do not belong to the value.
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
 * One byte that JSON writes for a digit and MessagePack for a number from 48 to 57. It is never written as a whole
 * body, so that a reader of both forms can refuse it.
 */
export function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39 && Number.isInteger(byte);
}

/** The value of a body, sharing no memory with it, or why the bytes are none. Never throws. */
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
