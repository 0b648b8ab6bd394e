/** Reads parked messages, and the record of each repair by an operator. */
import { placeOf } from '../work/message';
import { readNote } from '../work/parked/note';
import type { ParkedNote } from '../work/parked/park';
import type { Span } from './backlog';
import type { Parked } from '../work/parked/find';
import type { Repaired } from '../work/parked/replay';
import { fits, readEnvelopeAndBody, viewOf, type DecodedMessage } from './message';
import { topicsOf } from './names';
import { budgetFor } from './queues';
import { scan } from './scan';
import type { ParkedCount, ParkedKind } from './queue-view';
import type { InspectorParts, MessageFilter, ParkedView } from './types';

/** Returns a span for each partition of the topics, from its start to its current end. */
export async function wholeTopics({ log }: InspectorParts, topics: readonly string[]): Promise<readonly Span[]> {
  const bounds = await Promise.all(topics.map(async (topic) => ({ topic, all: await log.bounds(topic) })));
  return bounds.flatMap(({ topic, all }) =>
    all.map(({ partition, start, end }) => ({ topic, partition, from: start, end, without: [] })),
  );
}

/**
 * Yields the messages that are parked now, oldest first, of all queues or of `queue`. A parked record's key is its
 * queue and original place. Only the newest record of each key counts, and one without a value removes the message.
 */
export async function* findParked(
  parts: InspectorParts,
  queue: string | undefined,
  filter: MessageFilter,
): AsyncGenerator<Parked> {
  const module = queue?.slice(0, queue.indexOf('.'));
  const spans = await wholeTopics(parts, await topicsOf(parts.log, parts.ns, ['parked'], module));
  const newest = new Map<string, number>();
  for await (const [decoded] of scan(parts.log, spans, budgetFor(parts))) {
    newest.set(placeKey(decoded), decoded.record.offset);
  }
  for await (const [decoded] of scan(parts.log, spans, budgetFor(parts))) {
    if (newest.get(placeKey(decoded)) !== decoded.record.offset) continue;
    const note = readNote(decoded.record, decoded.topic);
    if (!note || (queue !== undefined && note.queue !== queue)) continue;
    if (fits(withNote(decoded, note), filter)) yield { topic: decoded.topic, note, record: decoded.record };
  }
}

/** Yields the same messages as {@link findParked}, decoded for display. */
export async function* readParked(
  parts: InspectorParts,
  queue: string | undefined,
  filter: MessageFilter,
): AsyncGenerator<ParkedView> {
  for await (const parked of findParked(parts, queue, filter)) yield parkedView(parked);
}

interface ParkedNow extends Omit<ParkedKind, 'count' | 'newestMs'> {
  readonly queue: string;
  readonly parkedAtMs: number;
}

/** Maximum number of kinds that are returned for a queue. */
const kindsMax = 5;

/** Returns the number of parked messages by queue, with their entries and reasons. It reads each parked topic once. */
export async function countParked(parts: InspectorParts): Promise<ReadonlyMap<string, ParkedCount>> {
  const parked = new Map<string, ParkedNow>();
  const spans = await wholeTopics(parts, await topicsOf(parts.log, parts.ns, ['parked']));
  for await (const [letter] of scan(parts.log, spans, budgetFor(parts))) {
    const note = readNote(letter.record, letter.topic);
    if (!note) parked.delete(placeKey(letter));
    else {
      const { queue, entry, reason, parkedAtMs } = note;
      parked.set(placeKey(letter), { queue, entry, reason, parkedAtMs });
    }
  }
  const queues = grouped(parked.values(), ({ queue }) => queue);
  return new Map([...queues].map(([queue, all]) => [queue, { count: all.length, kinds: kindsOf(all) }]));
}

function kindsOf(all: readonly ParkedNow[]): readonly ParkedKind[] {
  const groups = grouped(all, ({ entry, reason }) => `${entry} ${sameReason(reason)}`);
  const kinds = [...groups.values()].flatMap((same): ParkedKind | readonly [] => {
    const newest = same.toSorted((one, other) => other.parkedAtMs - one.parkedAtMs)[0];
    if (!newest) return [];
    const { entry, reason, parkedAtMs } = newest;
    return { entry, reason, count: same.length, newestMs: parkedAtMs };
  });
  return kinds.toSorted((one, other) => other.count - one.count).slice(0, kindsMax);
}
/** Replaces numbers and ids, which differ between messages that were parked for the same reason. */
function sameReason(reason: string): string {
  return reason.replace(/[0-9a-f]{8,}|\d+/gi, '#');
}

function grouped<T>(all: Iterable<T>, keyOf: (one: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const key = keyOf(one);
    const same = groups.get(key);
    if (same) same.push(one);
    else groups.set(key, [one]);
  }
  return groups;
}

export function parkedView({ topic, note, record }: Parked): ParkedView {
  const { queue, reason, attemptCount, attempts, parkedAtMs, instance, version, stub } = note;
  const first = record.value ?? new Uint8Array();
  const unread = { ok: false, reason: `only the first ${first.length} of ${stub?.bytes} bytes are parked` } as const;
  return {
    ...viewOf(withNote(readEnvelopeAndBody(topic, record), note)),
    ...(stub && { bytes: stub.bytes, body: unread }),
    queue,
    origin: placeOf(note.topic, note),
    reason,
    attemptCount,
    attempts,
    parkedAtMs,
    instance,
    version,
    stub: stub ? { ...stub, first } : null,
  };
}

/** Adds the id, entry and key from the note, because the envelope of a parked message can be unreadable. */
function withNote(decoded: DecodedMessage, { id, entry, key }: ParkedNote): DecodedMessage {
  return { ...decoded, id, entry, key };
}

/** A repair of a message, found by its id. */
export interface RepairOf extends Repaired {
  readonly id: string;
  readonly entry: string;
  readonly queue: string;
}

/** Returns the repairs of messages whose id begins with `idStart`, of those whose record the log still has. */
export async function readRepairsOf(parts: InspectorParts, idStart: string): Promise<readonly RepairOf[]> {
  const found: RepairOf[] = [];
  const spans = await wholeTopics(parts, await topicsOf(parts.log, parts.ns, ['parked']));
  for await (const [{ record }] of scan(parts.log, spans, budgetFor(parts))) {
    const repaired = record.value === null ? repairedOf(record.headers['mended']) : undefined;
    const { id, entry = '' } = repaired ?? {};
    if (!repaired || !id?.startsWith(idStart)) continue;
    const [queue = ''] = Buffer.from(record.key ?? [])
      .toString()
      .split('/');
    found.push({ ...repaired, id, entry, queue });
  }
  return found;
}

/**
 * Returns how parked messages were replayed or dropped, by the key of their parked record. It finds only repairs whose
 * record the log still has.
 */
export async function readRepaired(parts: InspectorParts): Promise<ReadonlyMap<string, Repaired>> {
  const found = new Map<string, Repaired>();
  const spans = await wholeTopics(parts, await topicsOf(parts.log, parts.ns, ['parked']));
  for await (const [{ record }] of scan(parts.log, spans, budgetFor(parts))) {
    const { key, value, headers } = record;
    const repaired = value === null ? repairedOf(headers['mended']) : undefined;
    if (!key || !repaired) continue;
    const { how, by, atMs, reason } = repaired;
    found.set(Buffer.from(key).toString(), { how, by, atMs, ...(reason !== undefined && { reason }) });
  }
  return found;
}

function repairedOf(line = ''): Repaired | undefined {
  try {
    const repaired: unknown = JSON.parse(line);
    if (
      typeof repaired !== 'object' ||
      repaired === null ||
      !('how' in repaired && 'by' in repaired && 'atMs' in repaired)
    )
      return;
    const { how, by, atMs } = repaired;
    const textOf = (name: string): string | undefined => {
      const value: unknown = Object.entries(repaired).find(([field]) => field === name)?.[1];
      return typeof value === 'string' ? value : undefined;
    };
    if ((how !== 'replayed' && how !== 'dropped') || typeof by !== 'string' || typeof atMs !== 'number') return;
    return { how, by, atMs, id: textOf('id'), entry: textOf('entry'), reason: textOf('reason') };
  } catch {
    return undefined; // another program wrote the header
  }
}

function placeKey({ topic, record }: DecodedMessage): string {
  return `${topic} ${record.partition} ${record.key ? Buffer.from(record.key).toString('latin1') : record.offset}`;
}
