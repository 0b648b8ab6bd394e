/** Encodes and decodes the commits of groups for the store. */
import type { Commit } from '../../ports/log';

/** Encodes a commit: offset u48 · state. */
export function encodeCommit(commit: Commit): Buffer {
  const bytes = Buffer.allocUnsafe(6 + commit.state.length);
  bytes.writeUIntBE(commit.offset, 0, 6);
  bytes.set(commit.state, 6);
  return bytes;
}
export function decodeCommit(bytes: Buffer): Commit {
  return { offset: bytes.readUIntBE(0, 6), state: new Uint8Array(bytes.subarray(6)) };
}
