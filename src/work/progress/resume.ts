/**
 * Where a group goes on in a log that is not the one that it has read: at the oldest record that it cannot have
 * handled.
 */
import type { Notice } from '../../base/notices';
import type { Log } from '../../ports/log';
import { takenMs, type Newest } from './commit-state';

/** Where to go on, and the end of the log: what lies between was not handled. */
export interface Unread {
  readonly from: number;
  readonly end: number;
}

/**
 * A log can end before the place of its group: it lost its end with a broker, its topic was deleted and made again, or
 * a tool has set the place. What it holds was handled or not, which the times tell: a log took each record that the
 * group has read no later than the newest of them, and another log of its name took its records afterwards. Where
 * nothing is known of the newest record, any record may be unhandled. From `lost` on nothing that is there now was
 * read. Rejects as `bounds` and `peek` do.
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

/**
 * Reports what a group had read and the log has lost, or that it goes on in another log, and which records come then.
 */
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
  /** Of the group. */
  readonly place: number;
  readonly unread: Unread;
  readonly lost: number;
  /** Whether it is known which record was read last. */
  readonly known: boolean;
  readonly reason: string;
}): Notice {
  if (from === lost) return { type: 'dropped', what: `${topic}/${partition}/${from} and behind`, reason };
  const records = `${end - from} records from ${from} up to ${end}`;
  const why = known ? 'the log took them after all that the group has read' : 'nothing tells whether they were handled';
  const message = `${topic}/${partition}: the group was at ${place}; ${reason}. It handles ${records} now: ${why}`;
  return { type: 'log', level: 'error', message, fields: { topic, partition, place, from, end } };
}
