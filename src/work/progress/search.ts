/** Finds offsets by the times of records. It reads few of them, since times rise with offsets. */
import type { Log } from '../../ports/log';

const stepsMax = 64; // a binary search over 2^53 offsets takes fewer steps

/**
 * Returns the lowest offset from `low` to `high` whose record was appended at `sinceMs` or later. Returns `high` when
 * every record is older. Rejects as `peek` does.
 */
export async function firstSince(
  log: Pick<Log, 'peek'>,
  { topic, partition }: { readonly topic: string; readonly partition: number },
  { low, high }: { low: number; high: number },
  sinceMs: number,
): Promise<number> {
  for (let step = 0; low < high && step < stepsMax; step++) {
    const middle = Math.floor((low + high) / 2);
    const [record] = await log.peek(topic, { partition, offset: middle }, { messages: 1, bytes: 1 });
    if (!record || record.offset >= high) high = middle;
    else if (record.timeMs < sinceMs) low = record.offset + 1;
    else high = middle;
  }
  return low;
}
