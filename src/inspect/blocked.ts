/**
 * Raises alarms for queues whose records cannot be read because another producer has an open transaction in their log.
 */
import type { OpenTransaction } from '../ports/log';
import type { Counted } from './queues';
import type { Alarm, InspectorParts } from './types';

/** Minimum age of a transaction that is reported. Transactions of healthy producers are shorter. */
const reportAfterMs = 10_000;
const criticalAfterMs = 30_000;

/**
 * Returns one alarm for each queue blocked for at least 10 s or for an unknown time. It has the command that aborts the
 * oldest transaction.
 */
export async function blockedAlarms(
  parts: InspectorParts,
  counted: readonly Counted[],
  nowMs: number,
): Promise<readonly Alarm[]> {
  const blocked = counted.filter((one) => one.blocked > 0);
  return (await Promise.all(blocked.map((one) => alarmOf(parts, one, nowMs)))).flat();
}

async function alarmOf({ log }: InspectorParts, { name, blocked, backlogs }: Counted, nowMs: number): Promise<Alarm[]> {
  const topics = new Map<string, number[]>();
  for (const one of backlogs) {
    if (one.blocked > 0) topics.set(one.topic, [...(topics.get(one.topic) ?? []), one.partition]);
  }
  const found = await Promise.all(
    [...topics].map(async ([topic, partitions]) => {
      const open = await log.openTransactions(topic, partitions);
      return open.map((one) => ({ topic, ...one }));
    }),
  );
  const [oldest, ...others] = found.flat().toSorted((a, b) => (a.sinceMs ?? 0) - (b.sinceMs ?? 0));
  if (!oldest) return []; // the transaction ended after the blocked records were counted
  const forMs = oldest.sinceMs === null ? null : Math.max(0, nowMs - oldest.sinceMs);
  if (forMs !== null && forMs < reportAfterMs) return [];
  const more = others.length > 0 ? `, and ${others.length} more` : '';
  const message = `${blocked} cannot be read: ${describeTransaction(oldest)}${more}`;
  const severity = forMs === null || forMs >= criticalAfterMs ? 'critical' : 'warning';
  return [{ severity, about: name.queue, what: 'blocked', forMs, message, next: oldest.abort }];
}

function describeTransaction({
  topic,
  partition,
  offset,
  id,
  producerId,
}: OpenTransaction & { topic: string }): string {
  const transaction = id === null ? `of producer id ${producerId}` : `'${id}' (producer id ${producerId})`;
  return `the transaction ${transaction} is open in ${topic}/${partition} from offset ${offset} on`;
}
