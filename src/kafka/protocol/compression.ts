/** Decompresses batches of other clients: gzip, snappy, lz4, and zstd if Node.js has it. The output is bounded. */
import zlib from 'node:zlib';

/**
 * Maximum decompressed size of one batch. Brokers accept a compressed megabyte. Text shrinks to a tenth and so fits. A
 * decompression bomb shrinks to a thousandth and is rejected before it fills the memory.
 */
const bytesMax = 16 * 1024 * 1024;

/** Error for a codec that this process lacks. Another version of Node.js or of busbar can have it. */
export class UnknownCodecError extends Error {}

/** Decompresses a batch with the codec number of its attributes. Throws if the bytes are invalid or too many. */
export function unpack(bytes: Buffer, codec: number): Buffer {
  const options = { maxOutputLength: bytesMax };
  switch (codec) {
    case 0:
      return bytes;
    case 1:
      return zlib.gunzipSync(bytes, options);
    case 2:
      return unsnappy(bytes);
    case 3:
      return unlz4(bytes);
    case 4: {
      // Node.js has it since 22.15; the installed types are older.
      const { zstdDecompressSync } = zlib as { zstdDecompressSync?: (bytes: Buffer, how: object) => Buffer };
      if (zstdDecompressSync) return zstdDecompressSync(bytes, options);
      throw new UnknownCodecError('compressed with zstd, which requires Node.js 22.15');
    }
    default:
      throw new UnknownCodecError(`compressed with the unknown codec ${codec}`);
  }
}

/** Output of a decompression. Snappy and lz4 repeat earlier parts of it. */
class Output {
  #buffer = Buffer.allocUnsafe(64 * 1024);
  #end = 0;

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#end);
  }

  /** Appends bytes of the input. */
  take(input: Buffer, from: number, count: number): void {
    if (from + count > input.length) throw new RangeError('compressed bytes end early');
    const at = this.#room(count);
    input.copy(this.#buffer, at, from, from + count);
  }

  /** Appends `count` bytes that begin `back` bytes before the end. They can overlap the appended bytes. */
  repeat(back: number, count: number): void {
    if (back <= 0 || back > this.#end) throw new RangeError('compressed bytes refer to before their start');
    const at = this.#room(count);
    const buffer = this.#buffer;
    if (back >= count) buffer.copyWithin(at, at - back, at - back + count);
    else for (let i = at; i < at + count; i++) buffer[i] = buffer[i - back] ?? 0;
  }

  #room(count: number): number {
    const at = this.#end;
    const end = at + count;
    if (end > bytesMax) throw new RangeError(`decompresses to more than ${bytesMax} bytes`);
    if (end > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(end, this.#buffer.length * 2));
      this.#buffer.copy(larger, 0, 0, at);
      this.#buffer = larger;
    }
    this.#end = end;
    return at;
  }
}

const xerial = Buffer.from('82534e4150505900', 'hex');
const xerialHead = 16;

/** Decompresses a single snappy block, or the Java format: a header, then blocks with their lengths. */
function unsnappy(bytes: Buffer): Buffer {
  const output = new Output();
  if (!bytes.subarray(0, xerial.length).equals(xerial)) snappyBlock(bytes, output);
  else
    for (let at = xerialHead; at < bytes.length;) {
      const end = at + 4 + bytes.readInt32BE(at);
      if (end < at + 4 || end > bytes.length) throw new RangeError('a compressed block ends early');
      snappyBlock(bytes.subarray(at + 4, end), output);
      at = end;
    }
  return output.bytes;
}

function snappyBlock(bytes: Buffer, output: Output): void {
  let at = 0;
  while (bytes.readUInt8(at) > 127) at++; // skip the decompressed length, which is not needed
  for (at++; at < bytes.length;) {
    const tag = bytes.readUInt8(at++);
    const size = tag >>> 2;
    switch (tag & 3) {
      case 0: {
        const more = Math.max(0, size - 59);
        const count = (more === 0 ? size : bytes.readUIntLE(at, more)) + 1;
        output.take(bytes, at + more, count);
        at += more + count;
        break;
      }
      case 1:
        output.repeat(((tag >>> 5) << 8) | bytes.readUInt8(at), (size & 7) + 4);
        at += 1;
        break;
      case 2:
        output.repeat(bytes.readUInt16LE(at), size + 1);
        at += 2;
        break;
      default:
        output.repeat(bytes.readUInt32LE(at), size + 1);
        at += 4;
    }
  }
}

const lz4Magic = 0x184d2204;

/** Decompresses one lz4 frame. Ignores its checksums, since the batch has one. */
function unlz4(bytes: Buffer): Buffer {
  if (bytes.readUInt32LE(0) !== lz4Magic) throw new Error('compressed with lz4, but not as a frame');
  const flags = bytes.readUInt8(4);
  const [hasBlockChecksums, hasSize, hasDictionary] = [flags & 16, flags & 8, flags & 1];
  const output = new Output();
  let at = 7 + (hasSize ? 8 : 0) + (hasDictionary ? 4 : 0);
  for (;;) {
    const word = bytes.readUInt32LE(at);
    const size = word & 0x7fffffff;
    at += 4;
    if (size === 0) return output.bytes;
    if (word > 0x7fffffff) output.take(bytes, at, size);
    else lz4Block(bytes, at, at + size, output);
    at += size + (hasBlockChecksums ? 4 : 0);
  }
}

function lz4Block(bytes: Buffer, from: number, end: number, output: Output): void {
  if (end > bytes.length) throw new RangeError('a compressed block ends early');
  let at = from;
  /** Reads a length. 15 means that bytes to add follow, up to the first one that is not 255. */
  const lengthOf = (nibble: number): number => {
    let length = nibble;
    for (let more = nibble === 15 ? 255 : 0; more === 255; length += more) more = bytes.readUInt8(at++);
    return length;
  };
  while (at < end) {
    const token = bytes.readUInt8(at++);
    const literals = lengthOf(token >>> 4);
    output.take(bytes, at, literals);
    at += literals;
    if (at >= end) return; // the last sequence has no match
    const back = bytes.readUInt16LE(at);
    at += 2;
    output.repeat(back, lengthOf(token & 15) + 4);
  }
}
