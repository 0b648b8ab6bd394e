/**
 * Finds where a group resumes in a log that is not the one it has read: at the oldest record that it cannot have
 * handled.
 */
import type { Notice } from '../../base/notices';
import type { Log } from '../../ports/log';
import { takenMs, type Newest } from './commit-state';

/** Offset at which to resume, and the end of the log. The records between were not handled. */
export interface Unread {
  readonly from: number;
  readonly end: number;
}

/**
 * Finds the records that a group has not handled, by the times of the records. A log can end below the offset of its
 * group. Its end was lost with a broker, its topic was recreated, or a tool set the offset. The group's own log took
 * each record that the group has read no later than the newest of them. A log that replaced it took its records
 * afterwards. Without a known newest record, any record can be unhandled. No existing record at or above `lost` was
 * read by the group. Rejects as `bounds` and `peek` do.
 */
export async function unreadOf(
  log: Pick<Log, 'bounds' | 'peek'>,
  { topic, partition }: { readonly topic: string; readonly partition: number },
  newest: Newest | undefined,
  lost: number,
): Promise<Unread> {
  const { start = 0, end = 0 } = (await log.bounds(topic)).find((one) => one.partition === partition) ?? {};
  let low = start;
  let high = newest ? Math.max(start, Math.min(lost, end)) : start;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const [record] = await log.peek(topic, { partition, offset: middle }, { messages: 1, bytes: 1 });
    if (record && newest && takenMs(record) <= newest.timeMs) low = Math.min(high, record.offset + 1);
    else high = middle;
  }
  return { from: low, end };
}

/** Returns the notice of lost records, or of resuming in another log, with the records that are handled next. */
export function cutNotice({
  topic,
  partition,
  place,
  unread: { from, end },
  lost,
  known,
  reason,
}: {
  readonly topic: string;
  readonly partition: number;
  /** Offset of the group. */
  readonly place: number;
  readonly unread: Unread;
  readonly lost: number;
  /** True when the record that was read last is known. */
  readonly known: boolean;
  readonly reason: string;
}): Notice {
  if (from === lost) return { type: 'dropped', what: `${topic}/${partition}/${from} and later`, reason };
  const records = `${end - from} records from ${from} up to ${end}`;
  const why = known
    ? 'they were appended after all that the group has read'
    : 'it is unknown whether they were handled';
  const message = `${topic}/${partition}: the group was at ${place}; ${reason}. It handles ${records} now: ${why}`;
  return { type: 'log', level: 'error', message, fields: { topic, partition, place, from, end } };
}
