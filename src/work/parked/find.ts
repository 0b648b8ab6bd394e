/** Finds parked messages, for the caller that replays or drops them. */
import type { Log, Stored } from '../../ports/log';
import { readNote } from './note';
import type { ParkedNote } from './park';

export interface Parked {
  /** Parked topic that stores the message. */
  readonly topic: string;
  readonly note: ParkedNote;
  /** Record in the parked topic. Its value and its header `bus` are the original ones, unless it is a stub. */
  readonly record: Stored;
}
export interface FindParked {
  readonly queue?: string;
  /** Ids of messages. Default: all. */
  readonly ids?: ReadonlySet<string>;
  /** Maximum number of messages, oldest first. Default 1,000. */
  readonly max?: number;
}

const findMaxDefault = 1_000;
const chunk = { messages: 500, bytes: 8 * 1024 * 1024 };

/**
 * Returns the messages parked in `topic`, oldest first. Only the newest record of each key counts, and tombstones do
 * not.
 */
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

/** Yields the records that existed when this was called. */
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
