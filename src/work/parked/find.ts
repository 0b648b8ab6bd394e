/** Finds what was set aside, for whoever replays or drops it. */
import type { Log, Stored } from '../../ports/log';
import { readNote } from './note';
import type { ParkedNote } from './park';

export interface Parked {
  /** The parked topic it lies in. */
  readonly topic: string;
  readonly note: ParkedNote;
  /** As it lies in the parked topic: value and header `bus` are the original ones. */
  readonly record: Stored;
}
export interface FindParked {
  readonly queue?: string;
  /** Ids of messages; default all. */
  readonly ids?: ReadonlySet<string>;
  /** At most so many, the oldest ones. Default 1,000. */
  readonly max?: number;
}

const findMaxDefault = 1_000;
const chunk = { messages: 500, bytes: 8 * 1024 * 1024 };

/** What is parked in `topic` now, oldest first. Only the newest record of each key counts, and none without a value. */
export async function findParked(log: Log, topic: string, find: FindParked = {}): Promise<readonly Parked[]> {
  const { queue, ids, max = findMaxDefault } = find;
  const newest = new Map<string, number>();
  for await (const record of records(log, topic)) newest.set(keyOf(record), record.offset);
  const found: Parked[] = [];
  for await (const record of records(log, topic)) {
    const note = newest.get(keyOf(record)) === record.offset ? readNote(record, topic) : undefined;
    if (!note || (queue !== undefined && note.queue !== queue) || (ids && !ids.has(note.id))) continue;
    found.push({ topic, note, record });
    if (found.length >= max) break;
  }
  return found;
}

/** What was there when this was called. */
async function* records(log: Log, topic: string): AsyncGenerator<Stored> {
  for (const { partition, start, end } of await log.bounds(topic)) {
    for (let offset = start; offset < end;) {
      const some = await log.peek(topic, { partition, offset }, chunk);
      yield* some;
      offset = (some.at(-1)?.offset ?? end) + 1;
    }
  }
}

const keyOf = ({ key, offset }: Stored): string => (key ? Buffer.from(key).toString('latin1') : `${offset}`);
