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

/** Returns the number of parked messages by queue. It reads each parked topic once. */
export async function countParked(parts: InspectorParts): Promise<ReadonlyMap<string, number>> {
  const queues = new Map<string, string | undefined>();
  const spans = await wholeTopics(parts, await topicsOf(parts.log, parts.ns, ['parked']));
  for await (const [letter] of scan(parts.log, spans, budgetFor(parts)))
    queues.set(placeKey(letter), readNote(letter.record, letter.topic)?.queue);
  const counts = new Map<string, number>();
  for (const queue of queues.values()) if (queue !== undefined) counts.set(queue, (counts.get(queue) ?? 0) + 1);
  return counts;
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
    if (key && repaired) found.set(Buffer.from(key).toString(), repaired);
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
    if ((how !== 'replayed' && how !== 'dropped') || typeof by !== 'string' || typeof atMs !== 'number') return;
    return { how, by, atMs };
  } catch {
    return undefined; // another program wrote the header
  }
}

function placeKey({ topic, record }: DecodedMessage): string {
  return `${topic} ${record.partition} ${record.key ? Buffer.from(record.key).toString('latin1') : record.offset}`;
}
