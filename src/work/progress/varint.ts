/** Small numbers in few bytes: what a commit carries has 4,096 of them on some logs. */

export interface ByteWriter {
  readonly length: number;
  /** A whole number from 0 to 2^53 - 1, 7 bits a byte, the lowest first. */
  number(value: number): void;
  raw(bytes: Uint8Array): void;
  /** Takes back what was written after `to`. */
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
        rest = Math.floor(rest / 128); // bit operations would cut at 32 bits
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

/** How many bytes {@link ByteWriter.number} takes for a number. */
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
/** Throws RangeError when the bytes end too soon or say a number that is none. */
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
        if (byte === undefined) throw new RangeError('the bytes end within a number');
        value += (byte % 128) * factor;
        if (value > Number.MAX_SAFE_INTEGER) throw new RangeError('a number is too large');
        if (byte < 128) return value;
      }
    },
    raw(length) {
      if (length > bytes.length - at)
        throw new RangeError(`${length} bytes are announced, ${bytes.length - at} are there`);
      return bytes.slice(at, (at += length));
    },
  };
}
