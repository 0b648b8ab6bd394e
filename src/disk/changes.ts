/** The changes of one transaction, and how LMDB is given them. */
import type { RootDatabase } from 'lmdb';

/** What must be true in the very transaction that makes the changes: `key` has this version, or is not there (null). */
export interface Guard {
  readonly key: Uint8Array;
  readonly version: number | null;
}
/** A key that gets a value with a version, or (null) is removed. A value has at least one byte. */
export interface Change {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
  readonly version?: number;
}

/** Hands a block of changes to the write thread. Nothing here may throw between the puts: half of them would count. */
export function submit(
  db: RootDatabase<Buffer, Buffer>,
  guard: Guard | null,
  changes: readonly Change[],
): Promise<boolean> {
  const block = (): void => {
    for (const { key, value, version } of changes) {
      void (value === null ? db.remove(asBuffer(key)) : db.put(asBuffer(key), asBuffer(value), version ?? 0));
    }
  };
  const writing = writeBlock(db, guard, block);
  // The reason of a rejection is a promise inside, which would end the process if nothing listened to it.
  writing.catch((error: unknown) => {
    if (typeof error !== 'object' || error === null || !('commitError' in error)) return;
    if (error.commitError instanceof Promise) error.commitError.catch(() => undefined);
  });
  return writing;
}
function writeBlock(db: RootDatabase<Buffer, Buffer>, guard: Guard | null, block: () => void): Promise<boolean> {
  if (guard === null) return db.batch(block);
  const key = asBuffer(guard.key);
  return guard.version === null ? db.ifNoExists(key, block) : db.ifVersion(key, guard.version, block);
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
