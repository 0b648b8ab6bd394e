/** Reads records of one partition in order, past gaps and damaged ones. */
import type { Notices } from '../../base/notices';
import type { Store } from '../../disk/lmdb';
import type { ReadMax, Stored } from '../../ports/log';
import { kinds, PlaceKeys } from './keys';
import { BadRecord, decodeRecord } from './record-format';

/** Records and where to read on: the offset behind the last one, or behind the gap that was passed. */
export interface ReadOut {
  readonly records: readonly Stored[];
  readonly next: number;
}

/** More in one go would hold the event loop for longer than a few milliseconds. */
const recordsMax = 4096;

/** Reads one partition of one topic; keep it, it holds prepared keys. */
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

  /** Records from `from` on below `end`, of the moment of the last refresh. None only if there are none. */
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
      // A record that would go beyond the bound by itself is left for the next call, unless it is the first.
      if (bytes > max.bytes && records.length > 0) break;
      this.decode(view, offset, records);
      offset += 1;
    }
    // A process that is stopped while it looks at a moment keeps all pages of that moment from being used again.
    this.store.refresh();
    return { records, next: offset };
  }

  /** The next offset at which there is a record: compaction and trimming leave gaps. */
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
      this.notices.tell({ type: 'dropped', what, reason: `damaged on the disk: ${error.message}` });
    }
  }
}
