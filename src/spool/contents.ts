/** Reads what waits in a spool, and what is parked in it, for an operator. */
import type { Clock } from '../base/clock';
import { parseEnvelope } from '../format/envelope-parser';
import type { Log, Place, Stored } from '../ports/log';
import { drainGroup } from './drain';
import { parkedTopic, readParked, type ParkedRecord } from './parked';

/** The methods of the local log that reading needs. */
export type SpoolLog = Pick<Log, 'topics' | 'bounds' | 'peek' | 'committedOffsets' | 'storedBytes'>;

/** Messages that wait in a spool for one topic of the servers. */
export interface SpoolTopic {
  readonly topic: string;
  readonly messages: number;
  /** Size of its records on the disk. It counts messages that were sent less than a second ago. */
  readonly bytes: number;
  /** Age of the oldest message, in ms. */
  readonly oldestMs: number;
}
/** A message that the servers refused for good, which is parked in a spool. */
export interface SpoolParked {
  /** The id of the message, or its place in the spool if it has none. */
  readonly id: string;
  /** The entry; empty if the message does not contain it. */
  readonly entry: string;
  /** The topic that refused it. */
  readonly topic: string;
  readonly partition: number;
  /** Offset in the spool, which identifies it together with topic and partition. */
  readonly offset: number;
  /** Code of the error of the servers: `TooLarge`, `Config` or `Invalid`. */
  readonly code: string;
  readonly reason: string;
  readonly bytes: number;
  /** When it was parked, in ms since 1970. */
  readonly parkedAtMs: number;
  /** Number of earlier replays by an operator. */
  readonly replay: number;
}
/** Contents of the spool of a machine. */
export interface SpoolContents {
  readonly ns: string;
  /** Topics with waiting messages, by name. */
  readonly waiting: readonly SpoolTopic[];
  /** Parked messages, oldest first. */
  readonly parked: readonly SpoolParked[];
}

/** Unsent records of one partition: from `from` (inclusive) to `end` (exclusive). */
export interface Unsent {
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  readonly end: number;
}

/** Returns the records that were not sent yet, for each partition that has some. */
export async function readUnsent(local: SpoolLog): Promise<readonly Unsent[]> {
  const topics = (await local.topics()).filter(({ compacted }) => !compacted).map(({ name }) => name);
  const all = await Promise.all(
    topics.map(async (topic): Promise<readonly Unsent[]> => {
      const bounds = await local.bounds(topic); // first, so that a record sent meanwhile is not counted
      const commits = new Map((await local.committedOffsets(drainGroup, topic)).map((one) => [one.partition, one]));
      return bounds.map(({ partition, start, end }) => {
        return { topic, partition, from: Math.max(start, commits.get(partition)?.offset ?? 0), end };
      });
    }),
  );
  return all.flat().filter(({ from, end }) => from < end);
}

export async function readContents(local: SpoolLog, ns: string, clock: Clock): Promise<SpoolContents> {
  const unsent = new Map<string, readonly Unsent[]>();
  for (const one of await readUnsent(local)) unsent.set(one.topic, [...(unsent.get(one.topic) ?? []), one]);
  const waiting = await Promise.all(
    [...unsent].map(async ([topic, parts]): Promise<SpoolTopic> => {
      const first = await Promise.all(
        parts.map(({ partition, from }) => local.peek(topic, { partition, offset: from }, { messages: 1, bytes: 1 })),
      );
      const oldestMs = Math.min(...first.flat().map(({ timeMs }) => timeMs), clock.now());
      return {
        topic,
        messages: parts.reduce((sum, { from, end }) => sum + end - from, 0),
        bytes: (await local.storedBytes?.(topic)) ?? 0,
        oldestMs: clock.now() - oldestMs,
      };
    }),
  );
  const parked: SpoolParked[] = [];
  for await (const one of findParked(local, ns)) parked.push(viewOf(one));
  return { ns, waiting: waiting.toSorted((one, other) => (one.topic < other.topic ? -1 : 1)), parked };
}

/** A record that waits for its topic at the servers. */
export interface Waiting {
  readonly topic: string;
  readonly record: Stored;
}
/** Yields the records that wait now, by topic and partition, in their order. */
export async function* readWaiting(local: SpoolLog): AsyncGenerator<Waiting> {
  for (const { topic, partition, from, end } of await readUnsent(local))
    for await (const record of range(local, topic, { partition, offset: from }, end)) yield { topic, record };
}

/** A parked record, and the place at which a tombstone removes it. */
export interface Found {
  readonly record: ParkedRecord;
  /** Topic, partition and key of the record that parks it. */
  readonly parkedIn: { readonly topic: string; readonly partition: number; readonly key: Uint8Array | null };
}

/** Limits of one read of records, which bound the memory. */
const readMax = { messages: 100, bytes: 8 * 1024 * 1024 };

/** Yields the records that are parked now, oldest first. */
export async function* findParked(local: SpoolLog, ns: string): AsyncGenerator<Found> {
  const topic = parkedTopic(ns).name;
  if (!(await local.topics()).some(({ name }) => name === topic)) return;
  const newest = new Map<string, number>();
  for await (const { key, offset } of all(local, topic)) newest.set(keyText(key), offset);
  for await (const stored of all(local, topic)) {
    const record = newest.get(keyText(stored.key)) === stored.offset ? readParked(stored) : undefined;
    if (record) yield { record, parkedIn: { topic, partition: stored.partition, key: stored.key } };
  }
}
async function* all(local: SpoolLog, topic: string): AsyncGenerator<Stored> {
  const [bounds] = await local.bounds(topic);
  if (bounds) yield* range(local, topic, { partition: 0, offset: bounds.start }, bounds.end);
}
/** Yields the records of a partition up to `end`, exclusive. */
async function* range(local: SpoolLog, topic: string, from: Place, end: number): AsyncGenerator<Stored> {
  for (let { offset } = from; offset < end;) {
    const records = await local.peek(topic, { ...from, offset }, readMax);
    yield* records.filter((record) => record.offset < end);
    const last = records.at(-1);
    if (!last) return;
    offset = last.offset + 1;
  }
}
function keyText(key: Uint8Array | null): string {
  return key ? Buffer.from(key).toString('latin1') : '';
}

export function viewOf({ record: parked }: Found): SpoolParked {
  const { topic, partition, offset, code, reason, atMs: parkedAtMs, record } = parked;
  const { id, entry, replay } = namesIn(record, `${topic}/${partition}/${offset}`);
  return { id, entry, topic, partition, offset, code, reason, bytes: record.value?.length ?? 0, parkedAtMs, replay };
}

/** Returns the id and the entry of a record; `place` and '' if it contains none. */
export function namesIn(
  { headers }: Pick<Stored, 'headers'>,
  place: string,
): { readonly id: string; readonly entry: string; readonly replay: number } {
  const line = headers['bus'];
  const envelope = line === undefined ? { bad: 'there is none' } : parseEnvelope(line);
  if ('bad' in envelope) return { id: place, entry: '', replay: 0 };
  return { id: envelope.id, entry: envelope.entry, replay: envelope.replay ?? 0 };
}
