/** Computes digests that are stored and shown, so that bytes can be compared without being stored. */
import { createHash } from 'node:crypto';

/** Returns the SHA-256 of `bytes` in hex, as `sha256sum` prints it. */
export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
