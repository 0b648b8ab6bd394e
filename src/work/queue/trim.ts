/** Trims old settled records in a log that keeps records until they are trimmed. */
import { isBusError, errorMessage } from '../../base/errors';
import type { Bounds, Place, Log } from '../../ports/log';
import type { ChosenRange } from '../progress/commit-state';
import { firstSince } from '../progress/search';
import { keepMsDefault } from '../topics';
import type { Queue, ConsumerParts } from '../types';
import { windowStart } from './read-back';

/** Offset below which a partition is settled, and the records of its group with chosen ids. */
export interface Settled extends Place {
  readonly chosen?: ChosenRange | undefined;
}

/** Times of a trim: now, and the time before which settled records are not kept. */
interface Times {
  readonly nowMs: number;
  readonly beforeMs: number;
}

/**
 * Trims records below `settled` that were appended before `beforeMs`, except those that the next owner reads for its id
 * window. It trims nothing when `settled` is beyond the end, because such an offset is not of this log.
 */
async function trimSettled(
  log: Log,
  topic: string,
  { start, end }: Bounds,
  settled: Settled,
  { nowMs, beforeMs }: Times,
): Promise<void> {
  const { partition, chosen } = settled;
  if (settled.offset > end) return;
  const expired = await firstSince(log, { topic, partition }, { low: start, high: settled.offset }, beforeMs);
  if (expired <= start) return;
  const needed = chosen ? await windowStart(log, topic, settled, chosen, nowMs) : expired;
  const before = Math.min(expired, needed);
  if (before > start) await log.trim(topic, partition, before);
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
  async run(settled: readonly Settled[]): Promise<void> {
    const { topic, keepMs = keepMsDefault } = this.queue;
    if (topic.keepMs !== null || topic.compacted) return;
    const { log, clock } = this.parts;
    const { name } = topic;
    const nowMs = clock.now();
    const times = { nowMs, beforeMs: nowMs - keepMs };
    const bounds = (await this.#try(name, () => log.bounds(name))) ?? [];
    const byPartition = new Map(bounds.map((one) => [one.partition, one]));
    await Promise.all(
      settled.map(async (place) => {
        const found = byPartition.get(place.partition);
        const where = `${name}/${place.partition}`;
        if (found) await this.#try(where, () => trimSettled(log, name, found, place, times));
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
