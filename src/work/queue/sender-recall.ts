/** Reads back the stamps of records that an earlier owner has read, to recognize copies of them that a spool sends. */
import { limits } from '../../base/limits';
import type { Stamp } from '../../format/envelope-fields';
import { sentAfter } from '../../format/sent-after';
import type { Stored } from '../../ports/log';
import { envelopeOf } from '../message';
import type { Progress } from '../progress/progress';
import type { ConsumerParts, Queue } from '../types';

/** Records of one read. Its bytes are few, since they are parsed in one turn of the event loop. */
const chunk = { messages: 500, bytes: 1024 * 1024 };

/** Senders that the owner of a partition remembers. */
export interface KnownSenders {
  knowsSender(stamp: Stamp): boolean;
  /** Notes a record that an earlier owner has read. */
  recallSender(stamp: Stamp, timeMs: number): void;
}

/**
 * Returns a function that is called with records before they are admitted. It rejects as `peek` does, and can be
 * repeated.
 *
 * It recalls senders for which the commit of the earlier owner had no room: a commit has those of the newest records. A
 * spool sends a list again when its outcome is unknown, and its records can be of more senders. The spool states an
 * offset that precedes all copies, so only the records from there on are read back.
 */
export function recallSenders(
  { log }: Pick<ConsumerParts, 'log'>,
  { topic }: Pick<Queue, 'topic'>,
  partition: number,
  { state: { seen } }: Progress,
  senders: KnownSenders,
): (records: readonly Stored[], signal: AbortSignal) => Promise<void> {
  /** Offset from which on the stamps of all records are known. An earlier owner has read the records before it. */
  let from = seen;

  /** Returns the lowest offset from which on there can be a copy of one of the records, if its sender is unknown. */
  function needed(records: readonly Stored[]): number | undefined {
    let lowest: number | undefined;
    for (const record of records) {
      const after = sentAfter(record.headers);
      if (after === undefined || after >= (lowest ?? from)) continue;
      const stamp = stampOf(record);
      if (stamp && !senders.knowsSender(stamp)) lowest = after;
    }
    return lowest;
  }
  return async (records, signal) => {
    const after = needed(records);
    if (after === undefined) return;
    for (let next = Math.max(after, from - limits.recalledRecordsMax); next < from && !signal.aborted;) {
      const found = await log.peek(topic.name, { partition, offset: next }, chunk);
      for (const record of found) {
        const stamp = record.offset < from ? stampOf(record) : undefined;
        if (stamp) senders.recallSender(stamp, record.timeMs);
        next = record.offset + 1;
      }
      if (found.length === 0) break;
    }
    if (!signal.aborted) from = after;
  };
}

function stampOf(record: Pick<Stored, 'headers'>): Stamp | undefined {
  const envelope = envelopeOf(record);
  return envelope && 'stamp' in envelope ? envelope.stamp : undefined;
}
