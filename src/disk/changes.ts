/** Defines the changes of one transaction, and passes them to LMDB. */
import type { RootDatabase } from 'lmdb';

/** Condition of a transaction, checked in the transaction itself: `key` has this version, or (null) does not exist. */
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
/**
 * An `append` leaves the last room on the disk to other writes. For a `divisible` write that has no room, the caller
 * tries fewer changes, so it is not reported that the store fails.
 */
export type WriteKind = 'append' | 'divisible';

/**
 * Passes a block of changes to the write thread. The block must not throw between the puts, since LMDB would then write
 * half of them.
 */
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
  // The error of a rejection holds another promise. Without a handler, its rejection would end the process.
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
