/** Counts the messages that are parked now. It reads only what was appended since the last count. */
import type { Clock } from '../../base/clock';
import type { Log, Stored } from '../../ports/log';
import { readNote } from './note';

/** Parked messages of one entry of a queue. */
export interface ParkedCount {
  readonly queue: string;
  readonly entry: string;
  readonly count: number;
}

/** Maximum number of parked messages that are known. It bounds memory: about 200 bytes each. */
const knownMax = 100_000;
/** Time after which everything is read again, in ms. A log keeps the removals of parked messages for a day or more. */
const rereadMs = 12 * 3_600_000;
const chunk = { messages: 500, bytes: 8 * 1024 * 1024 };

export class ParkedCounts {
  /** Offset that is read next, by partition. */
  readonly #next = new Map<number, number>();
  readonly #known = new Map<string, Omit<ParkedCount, 'count'>>();
  #readMs = 0;
  #reading: Promise<readonly ParkedCount[]> | undefined;

  constructor(
    private readonly clock: Pick<Clock, 'now'>,
    private readonly log: Pick<Log, 'bounds' | 'peek'>,
    private readonly topic: string,
  ) {}

  /** Returns the counts that are not 0. At most 100,000 messages are counted. */
  read(): Promise<readonly ParkedCount[]> {
    return (this.#reading ??= this.#read().finally(() => (this.#reading = undefined)));
  }

  async #read(): Promise<readonly ParkedCount[]> {
    const bounds = await this.log.bounds(this.topic);
    const isOther = bounds.some(({ partition, end }) => end < (this.#next.get(partition) ?? 0));
    const nowMs = this.clock.now();
    if (isOther || nowMs - this.#readMs > rereadMs) {
      this.#known.clear();
      this.#next.clear();
    }
    this.#readMs = nowMs;
    for (const { partition, start, end } of bounds) {
      for (let offset = Math.max(start, this.#next.get(partition) ?? 0); offset < end;) {
        const records = await this.log.peek(this.topic, { partition, offset }, chunk);
        for (const record of records) this.#note(record);
        offset = (records.at(-1)?.offset ?? end) + 1;
        this.#next.set(partition, offset);
      }
    }
    return this.#counts();
  }

  #note(record: Stored): void {
    const key = record.key ? Buffer.from(record.key).toString('latin1') : `${record.partition}/${record.offset}`;
    const note = readNote(record, this.topic);
    if (!note) this.#known.delete(key);
    else if (this.#known.size < knownMax) this.#known.set(key, { queue: note.queue, entry: note.entry });
  }

  #counts(): readonly ParkedCount[] {
    const counts = new Map<string, ParkedCount>();
    for (const { queue, entry } of this.#known.values()) {
      const key = `${queue} ${entry}`;
      counts.set(key, { queue, entry, count: (counts.get(key)?.count ?? 0) + 1 });
    }
    return [...counts.values()];
  }
}
