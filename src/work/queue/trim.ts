/** Trims old settled records in a log that keeps records until they are trimmed. */
import { isBusError, errorMessage } from '../../base/errors';
import type { Bounds, Place, Log } from '../../ports/log';
import { keepMsDefault } from '../topics';
import type { Queue, ConsumerParts } from '../types';

const stepsMax = 64; // a binary search over 2^53 offsets takes fewer steps

/**
 * Trims records below `settled` that were appended before `beforeMs`. It reads only a few records, since times rise
 * with offsets. It trims nothing when `settled` is beyond the end, because such an offset is not of this log.
 */
async function trimSettled(log: Log, topic: string, bounds: Bounds, settled: Place, beforeMs: number): Promise<void> {
  const { partition } = settled;
  if (settled.offset > bounds.end) return;
  let low = bounds.start; // everything below can be trimmed
  let high = settled.offset;
  for (let step = 0; low < high && step < stepsMax; step++) {
    const middle = Math.floor((low + high) / 2);
    const [record] = await log.peek(topic, { partition, offset: middle }, { messages: 1, bytes: 1 });
    if (!record || record.offset >= high) high = middle;
    else if (record.timeMs < beforeMs) low = record.offset + 1;
    else high = middle;
  }
  if (low > bounds.start) await log.trim(topic, partition, low);
}

/** Trims the partitions of a queue whose log keeps records until they are trimmed. */
export class Trimming {
  /** Last reported failure of the topic, and of each partition. An unchanged failure is reported once. */
  readonly #failures = new Map<string, string>();

  constructor(
    private readonly parts: Pick<ConsumerParts, 'log' | 'clock' | 'notices'>,
    private readonly queue: Queue,
  ) {}

  /** Trims settled records older than the retention. A failure is reported, and the next run retries. */
  async run(settled: readonly Place[]): Promise<void> {
    const { topic, keepMs = keepMsDefault } = this.queue;
    if (topic.keepMs !== null || topic.compacted) return;
    const { log, clock } = this.parts;
    const { name } = topic;
    const beforeMs = clock.now() - keepMs;
    const bounds = (await this.#try(name, () => log.bounds(name))) ?? [];
    const byPartition = new Map(bounds.map((one) => [one.partition, one]));
    await Promise.all(
      settled.map(async (place) => {
        const found = byPartition.get(place.partition);
        const where = `${name}/${place.partition}`;
        if (found) await this.#try(where, () => trimSettled(log, name, found, place, beforeMs));
      }),
    );
  }

  /** Returns the result, or undefined after a failure, which is reported. */
  async #try<T>(where: string, run: () => Promise<T>): Promise<T | undefined> {
    try {
      const result = await run();
      this.#failures.delete(where);
      return result;
    } catch (error) {
      const reason = errorMessage(error);
      if (this.#failures.get(where) === reason) return undefined;
      this.#failures.set(where, reason);
      const fields = { queue: this.queue.name, ...(isBusError(error) && { remedy: error.remedy }) };
      const message = `${where} could not be trimmed, so it grows: ${reason}`;
      this.parts.notices.emit({ type: 'log', level: 'warn', message, fields });
      return undefined;
    }
  }
}
