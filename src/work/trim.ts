/** Frees what is settled and old, in a log that keeps everything until it is told. */
import type { Log, Place } from '../ports/log';

const stepsMax = 64; // halving 2^53 offsets takes fewer

/** Trims what was appended before `beforeMs` and lies below `settled`. Looks at few: times rise with offsets. */
export async function trimSettled(log: Log, topic: string, settled: Place, beforeMs: number): Promise<void> {
  const { partition } = settled;
  const bounds = (await log.bounds(topic)).find((one) => one.partition === partition);
  if (!bounds) return;
  let low = bounds.start; // all below may go
  let high = Math.min(settled.offset, bounds.end);
  for (let step = 0; low < high && step < stepsMax; step++) {
    const middle = Math.floor((low + high) / 2);
    const [record] = await log.peek(topic, { partition, offset: middle }, { messages: 1, bytes: 1 });
    if (!record || record.offset >= high) high = middle;
    else if (record.timeMs < beforeMs) low = record.offset + 1;
    else high = middle;
  }
  if (low > bounds.start) await log.trim(topic, partition, low);
}
