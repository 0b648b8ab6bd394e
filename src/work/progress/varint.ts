/** Encodes small numbers in few bytes, because some logs allow only 4,096 bytes of state in a commit. */

export interface ByteWriter {
  readonly length: number;
  /** Writes a whole number from 0 to 2^53 - 1, with 7 bits in each byte, lowest first. */
  number(value: number): void;
  raw(bytes: Uint8Array): void;
  /** Removes everything written after the length `to`. */
  cut(to: number): void;
  done(): Uint8Array;
}

export function byteWriter(): ByteWriter {
  let buffer = Buffer.allocUnsafe(256);
  let length = 0;
  const room = (bytes: number): void => {
    if (length + bytes <= buffer.length) return;
    const larger = Buffer.allocUnsafe(2 * (length + bytes));
    buffer.copy(larger, 0, 0, length);
    buffer = larger;
  };
  return {
    get length() {
      return length;
    },
    number(value) {
      room(8);
      let rest = value;
      while (rest >= 128) {
        buffer[length++] = (rest % 128) + 128;
        rest = Math.floor(rest / 128); // bit operations would cut the number to 32 bits
      }
      buffer[length++] = rest;
    },
    raw(bytes) {
      room(bytes.length);
      buffer.set(bytes, length);
      length += bytes.length;
    },
    cut(to) {
      length = to;
    },
    done: () => Uint8Array.prototype.slice.call(buffer, 0, length),
  };
}

/** Returns the number of bytes that {@link ByteWriter.number} writes for a number. */
export function numberBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 128; rest /= 128) bytes++;
  return bytes;
}

export interface ByteReader {
  readonly left: number;
  number(): number;
  raw(length: number): Uint8Array;
}
/** Reads numbers and bytes. Throws RangeError when the bytes end early, or a number is above 2^53 - 1. */
export function byteReader(bytes: Uint8Array): ByteReader {
  let at = 0;
  return {
    get left() {
      return bytes.length - at;
    },
    number() {
      let value = 0;
      for (let factor = 1; ; factor *= 128) {
        const byte = bytes[at++];
        if (byte === undefined) throw new RangeError('the bytes end inside a number');
        value += (byte % 128) * factor;
        if (value > Number.MAX_SAFE_INTEGER) throw new RangeError('a number is too large');
        if (byte < 128) return value;
      }
    },
    raw(length) {
      if (length > bytes.length - at)
        throw new RangeError(`${length} bytes are announced, but only ${bytes.length - at} are left`);
      return bytes.slice(at, (at += length));
    },
  };
}
