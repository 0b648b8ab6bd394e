/** Encodes and decodes the commits of groups for the store. */
import type { Commit } from '../../ports/log';

const offsetBytes = 6;

/** Encodes a commit: offset u48 · state. */
export function encodeCommit(commit: Commit): Buffer {
  const bytes = Buffer.allocUnsafe(offsetBytes + commit.state.length);
  bytes.writeUIntBE(commit.offset, 0, offsetBytes);
  bytes.set(commit.state, offsetBytes);
  return bytes;
}
export function decodeCommit(bytes: Buffer): Commit {
  return { offset: offsetOf(bytes), state: new Uint8Array(bytes.subarray(offsetBytes)) };
}
/** Returns the offset of an encoded commit without a copy of its state, which can have 64 KiB. */
export function offsetOf(view: Uint8Array): number {
  let offset = 0;
  for (let index = 0; index < offsetBytes; index += 1) offset = offset * 256 + (view[index] ?? 0);
  return offset;
}
