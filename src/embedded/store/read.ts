/** Reads the records of one partition in order, and skips gaps and damaged records. */
import type { Notices } from '../../base/notices';
import type { Store } from '../../disk/lmdb';
import type { ReadMax, Stored } from '../../ports/log';
import { kinds, PlaceKeys } from './keys';
import { BadRecord, decodeRecord } from './record-format';

/** Records, and the offset from which to continue: the one after the last record, or after the gap that was skipped. */
export interface ReadOut {
  readonly records: readonly Stored[];
  readonly next: number;
}

/** Limits one read. More records would block the event loop for longer than a few milliseconds. */
const recordsMax = 4096;

/** Reader of one partition of one topic. Callers should reuse it, since it holds prepared keys. */
export class Reader {
  private readonly keys: PlaceKeys;

  constructor(
    private readonly store: Store,
    private readonly notices: Notices,
    readonly topic: string,
    readonly partition: number,
  ) {
    this.keys = new PlaceKeys(kinds.record, topic, partition);
  }

  /**
   * Returns records from `from` up to `end` (exclusive) as of the last refresh. An empty result means that there are
   * none.
   */
  read(from: number, end: number, max: ReadMax): ReadOut {
    const records: Stored[] = [];
    const countMax = Math.min(Math.max(1, max.messages), recordsMax);
    const key = this.keys.at(from);
    let bytes = 0;
    let offset = from;
    while (offset < end && records.length < countMax && (bytes < max.bytes || records.length === 0)) {
      this.keys.move(key, offset);
      const view = this.store.view(key);
      if (view === undefined) {
        offset = this.after(offset, end);
        continue;
      }
      bytes += view.length;
      // Leave a record that would exceed the bound for the next call, unless it is the first: it could otherwise never
      // be read.
      if (bytes > max.bytes && records.length > 0) break;
      this.decode(view, offset, records);
      offset += 1;
    }
    // Refresh, so that this process holds no old snapshot. If it were stopped, LMDB could not reuse the pages of that
    // snapshot.
    this.store.refresh();
    return { records, next: offset };
  }

  /** Returns the next offset that has a record. Compaction and trimming leave gaps. */
  private after(offset: number, end: number): number {
    const key = this.store.firstKey(this.keys.at(offset), this.keys.at(end));
    return key === undefined ? end : this.keys.offsetOf(key);
  }

  private decode(view: Uint8Array, offset: number, into: Stored[]): void {
    try {
      into.push(decodeRecord(view, this.partition, offset));
    } catch (error) {
      if (!(error instanceof BadRecord)) throw error;
      const what = `record ${this.topic}/${this.partition}/${offset}`;
      this.notices.emit({ type: 'dropped', what, reason: `damaged on the disk: ${error.message}` });
    }
  }
}
