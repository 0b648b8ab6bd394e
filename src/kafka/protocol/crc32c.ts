/** Computes the checksum of record batches (CRC-32C), eight bytes a step: three times as fast as byte by byte. */

const polynomial = 0x82f63b78;
/** Lookup table. Entry 256 × n + byte is the byte's effect on the checksum if n more bytes follow it in the step. */
const table = new Int32Array(8 * 256);
for (let byte = 0; byte < 256; byte++) {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
  table[byte] = crc;
}
for (let i = 256; i < table.length; i++) table[i] = (entry(i - 256) >>> 8) ^ entry(entry(i - 256) & 255);

/**
 * Returns a table entry. The cast is safe here and in `byteOf`, since callers stay below the length. One function for
 * both kinds of arrays would be half as fast.
 */
function entry(index: number): number {
  return table[index] as number;
}
function byteOf(bytes: Uint8Array, index: number): number {
  return bytes[index] as number;
}

/** Returns the checksum of the bytes from `from` up to, but not including, `to`. Both must be within `bytes`. */
export function crc32c(bytes: Uint8Array, from: number, to: number): number {
  let crc = -1;
  let at = from;
  for (; at + 8 <= to; at += 8) {
    crc ^=
      byteOf(bytes, at) | (byteOf(bytes, at + 1) << 8) | (byteOf(bytes, at + 2) << 16) | (byteOf(bytes, at + 3) << 24);
    crc =
      entry(1792 + (crc & 255)) ^
      entry(1536 + ((crc >>> 8) & 255)) ^
      entry(1280 + ((crc >>> 16) & 255)) ^
      entry(1024 + (crc >>> 24)) ^
      entry(768 + byteOf(bytes, at + 4)) ^
      entry(512 + byteOf(bytes, at + 5)) ^
      entry(256 + byteOf(bytes, at + 6)) ^
      entry(byteOf(bytes, at + 7));
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ entry((crc ^ byteOf(bytes, at)) & 255);
  return ~crc >>> 0;
}
