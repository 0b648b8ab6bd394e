/** Reads the scalars of MessagePack from bytes, and refuses those that no value represents exactly. */
import { isUtf8 } from 'node:buffer';
import { bigintDigitsMax, dateMsMax, isForbiddenKey } from './body-format';

/** An error for bytes that are not a body. */
export class BadBytes extends Error {
  override readonly name = 'BadBytes';
  constructor(
    message: string,
    /** The path of the invalid field, outermost part first. */
    readonly path: readonly PropertyKey[] = [],
  ) {
    super(message);
  }
}

export const noBytes = new Uint8Array(0);

export class ByteSource {
  protected bytes: Uint8Array = noBytes;
  protected at = 0;
  /** End of the bytes that belong to the current value. */
  protected end = 0;
  /** The same bytes as a Buffer, which decodes strings. */
  #view: Buffer | undefined;

  protected begin(bytes: Uint8Array, end: number): void {
    this.bytes = bytes;
    this.at = 0;
    this.end = end;
    this.#view = undefined;
  }

  /** Reads a short key. Keys repeat often, so a known key is found by its bytes without creating a string. */
  protected shortKey(length: number): string {
    this.need(length);
    const bytes = this.bytes;
    const from = this.at;
    let hash = length;
    for (let i = 0; i < length; i++) hash = (Math.imul(hash, 31) + (bytes[from + i] ?? 0)) | 0;
    const slot = (hash ^ (hash >>> 10)) & (keysCached - 1);
    const known = knownKeys[slot];
    if (known !== undefined && known.length === length) {
      let same = 0;
      while (same < length && known.charCodeAt(same) === bytes[from + same]) same++;
      if (same === length) {
        this.at += length;
        return known;
      }
    }
    const key = this.text(length);
    if (isForbiddenKey(key)) this.refuse(`the key ${key}`);
    if (key.length === length) knownKeys[slot] = key; // only ASCII, in which each character is one byte
    return key;
  }

  protected text(length: number): string {
    this.need(length);
    const bytes = this.bytes;
    const from = this.at;
    const to = (this.at += length);
    let at = from;
    if (length <= asciiLoopMax) while (at < to && (bytes[at] ?? 0x80) < 0x80) at++;
    if (at === to)
      return length <= asciiLettersMax ? letters(bytes, from, to) : this.#slices().toString('latin1', from, to);
    if (!isUtf8(bytes.subarray(at, to))) this.refuse('a string that is not valid UTF-8');
    return this.#slices().toString('utf8', from, to);
  }
  #slices(): Buffer {
    const { buffer, byteOffset, length } = this.bytes;
    return (this.#view ??= Buffer.from(buffer, byteOffset, length));
  }

  protected uint8(): number {
    if (this.at >= this.end) this.cutOff(1);
    return this.bytes[this.at++] ?? 0;
  }
  protected uint16(): number {
    this.need(2);
    const bytes = this.bytes;
    const at = this.at;
    this.at = at + 2;
    return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  }
  protected uint32(): number {
    this.need(4);
    const bytes = this.bytes;
    const at = this.at;
    this.at = at + 4;
    const low = ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
    return (bytes[at] ?? 0) * 0x1000000 + low;
  }
  /** Reads a length of 1, 2 or 4 bytes. */
  protected length(power: number): number {
    return power === 0 ? this.uint8() : power === 1 ? this.uint16() : this.uint32();
  }
  protected float32(): number {
    this.need(4);
    for (let i = 3; i >= 0; i--) floatBytes[i] = this.bytes[this.at++] ?? 0;
    return float32[0] ?? 0;
  }
  protected float64(): number {
    this.need(8);
    const bytes = this.bytes;
    const at = this.at;
    this.at = at + 8;
    // Assigned one by one, because it is a third faster than a loop.
    floatBytes[7] = bytes[at] ?? 0;
    floatBytes[6] = bytes[at + 1] ?? 0;
    floatBytes[5] = bytes[at + 2] ?? 0;
    floatBytes[4] = bytes[at + 3] ?? 0;
    floatBytes[3] = bytes[at + 4] ?? 0;
    floatBytes[2] = bytes[at + 5] ?? 0;
    floatBytes[1] = bytes[at + 6] ?? 0;
    floatBytes[0] = bytes[at + 7] ?? 0;
    return float64[0] ?? 0;
  }
  /** Reads a 64-bit integer. It refuses numbers beyond 2^53, which would be rounded. */
  protected integer(signed: boolean): number {
    const high = this.uint32();
    const low = this.uint32();
    const top = signed ? high | 0 : high;
    if (top >= 0x200000 || top < -0x200000 || (top === -0x200000 && low === 0))
      this.refuse('an integer beyond 2^53, which a number cannot hold');
    return top * 2 ** 32 + low;
  }
  protected binary(length: number): Uint8Array {
    this.need(length);
    const copy = new Uint8Array(length);
    const from = this.at;
    this.at = from + length;
    if (length > bytesLoopMax) copy.set(this.bytes.subarray(from, from + length));
    else for (let i = 0; i < length; i++) copy[i] = this.bytes[from + i] ?? 0;
    return copy;
  }

  protected bigint(length: number): bigint {
    const bytes = this.bytes;
    const minus = length > 0 && bytes[this.at] === 0x2d ? 1 : 0;
    const first = this.at + minus;
    const digits = length - minus;
    const from = this.at;
    const to = (this.at += length);
    let good = digits > 0 && digits <= bigintDigitsMax;
    if (bytes[first] === 0x30) good &&= length === 1; // no -0 and no leading zero
    for (let at = first; good && at < to; at++) good = (bytes[at] ?? 0) >= 0x30 && (bytes[at] ?? 0) <= 0x39;
    if (!good) this.refuse(`a bigint that does not have 1 to ${bigintDigitsMax} decimal digits`);
    return BigInt(letters(bytes, from, to));
  }

  /** Reads a timestamp. A Date can hold whole milliseconds only. */
  protected date(length: number): Date {
    let nanoseconds = 0;
    let seconds;
    if (length === 4) {
      seconds = this.uint32();
    } else if (length === 8) {
      const packed = this.uint32();
      nanoseconds = packed >>> 2;
      seconds = (packed & 3) * 2 ** 32 + this.uint32();
    } else if (length === 12) {
      nanoseconds = this.uint32();
      seconds = (this.uint32() | 0) * 2 ** 32 + this.uint32();
    } else return this.refuse(`a timestamp of ${length} bytes`);
    if (nanoseconds >= 1e9) this.refuse('a timestamp with a second or more of nanoseconds');
    if (nanoseconds % 1e6 !== 0) this.refuse('a timestamp with a fraction of a millisecond, which a Date cannot hold');
    const ms = seconds * 1000 + nanoseconds / 1e6;
    if (Math.abs(ms) > dateMsMax) this.refuse('a timestamp that a Date cannot hold');
    return new Date(ms);
  }

  protected need(count: number): void {
    if (count > this.end - this.at) this.cutOff(count);
  }
  protected cutOff(count: number): never {
    this.refuse(`cut off: ${count} bytes needed, ${this.end - this.at} left`);
  }
  protected refuse(reason: string): never {
    throw new BadBytes(reason);
  }
}

const fromCodes = String.fromCharCode;
/** Decodes ASCII bytes into a string. */
function letters(bytes: Uint8Array, from: number, to: number): string {
  let text = '';
  let at = from;
  for (; at + 4 <= to; at += 4)
    text += fromCodes(bytes[at] ?? 0, bytes[at + 1] ?? 0, bytes[at + 2] ?? 0, bytes[at + 3] ?? 0);
  for (; at < to; at++) text += fromCodes(bytes[at] ?? 0);
  return text;
}

/** Maximum length for which a loop finds bytes beyond ASCII faster than a call into C++. */
const asciiLoopMax = 64;
/** Maximum length for which a loop copies faster than a call. */
const bytesLoopMax = 32;
/** Maximum length of an ASCII string that is decoded in JavaScript. Longer ones are decoded by a Buffer. */
const asciiLettersMax = 20;
/** Maximum length of a key that {@link ByteSource.shortKey} accepts, in bytes. */
export const keyBytesCached = 32;
const keysCached = 1024;
const knownKeys: (string | undefined)[] = Array.from({ length: keysCached });
const float64 = new Float64Array(1);
const float32 = new Float32Array(float64.buffer);
const floatBytes = new Uint8Array(float64.buffer);
