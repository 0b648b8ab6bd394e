/** Detects at low cost whether a file was added to a folder, removed from it or renamed since it was last read. */
import fs from 'node:fs';
import type { Clock } from '../../base/clock';

/**
 * Longer than the timestamp resolution of file systems. Two changes within one step have the same timestamp, so the
 * second would be missed.
 */
const stepMs = 50;

export class FolderChanges {
  private changedMs = NaN;
  private inode = NaN;
  private lookedMs = 0;

  constructor(
    private readonly folder: string,
    private readonly clock: Clock,
  ) {}

  /**
   * Returns whether the folder can have changed since the last call. On true, the caller must read it. Costs about 3
   * µs.
   */
  look(): boolean {
    const { mtimeMs: changedMs, ino } = fs.statSync(this.folder);
    const same = changedMs === this.changedMs && ino === this.inode && this.lookedMs - changedMs > stepMs;
    this.changedMs = changedMs;
    this.inode = ino;
    this.lookedMs = this.clock.now();
    return !same;
  }
  /**
   * Discards the result of {@link FolderChanges.look} after a failed read, so that the next look reports the change
   * again.
   */
  unread(): void {
    this.changedMs = NaN;
  }
}
