/** Trims old settled records in a log that keeps records until they are trimmed. */
import { isBusError, sayError } from '../../base/errors';
import type { Place, Log } from '../../ports/log';
import { keepMsDefault } from '../topics';
import type { Queue, TakeParts } from '../types';

const stepsMax = 64; // a binary search over 2^53 offsets takes fewer steps

/**
 * Trims records below `settled` that were appended before `beforeMs`. It reads only a few records, since times rise
 * with offsets. It trims nothing when `settled` is beyond the end, because such an offset is not of this log.
 */
export async function trimSettled(log: Log, topic: string, settled: Place, beforeMs: number): Promise<void> {
  const { partition } = settled;
  const bounds = (await log.bounds(topic)).find((one) => one.partition === partition);
  if (!bounds || settled.offset > bounds.end) return;
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
  /** Last reported failure of each partition. An unchanged failure is reported once. */
  readonly #failures = new Map<number, string>();

  constructor(
    private readonly parts: Pick<TakeParts, 'log' | 'clock' | 'notices'>,
    private readonly queue: Queue,
  ) {}

  /** Trims settled records older than the retention. A failure is reported, and the next run retries. */
  async run(settled: readonly Place[]): Promise<void> {
    const { topic, keepMs = keepMsDefault } = this.queue;
    if (topic.keepMs !== null || topic.compacted) return;
    const beforeMs = this.parts.clock.now() - keepMs;
    await Promise.all(settled.map((place) => this.#trim(place, beforeMs)));
  }

  async #trim(place: Place, beforeMs: number): Promise<void> {
    const { name } = this.queue.topic;
    try {
      await trimSettled(this.parts.log, name, place, beforeMs);
      this.#failures.delete(place.partition);
    } catch (error) {
      const reason = sayError(error);
      if (this.#failures.get(place.partition) === reason) return;
      this.#failures.set(place.partition, reason);
      const fields = { queue: this.queue.name, ...(isBusError(error) && { remedy: error.remedy }) };
      const message = `${name}/${place.partition} could not be trimmed, so it grows: ${reason}`;
      this.parts.notices.tell({ type: 'log', level: 'warn', message, fields });
    }
  }
}
