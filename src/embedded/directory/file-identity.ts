/** Detects at low cost that a file was removed, recreated or overwritten. */
import { statSync } from 'node:fs';

/**
 * Returns a value that changes when the file is recreated, written, or gets other permissions. Returns undefined if
 * there is no file.
 */
export function fileIdentity(file: string): string | undefined {
  const found = statSync(file, { throwIfNoEntry: false });
  return found && `${found.ino} ${found.mode} ${found.size} ${found.mtimeMs}`;
}
