/** Lists what was set aside. */
import { placeOf } from '../work/message';
import { readNote } from '../work/parked/note';
import type { ParkedNote } from '../work/parked/park';
import type { Span } from './backlog';
import type { Parked } from '../work/parked/find';
import type { Mended } from '../work/parked/replay';
import { fits, letterOf, viewOf, type Letter } from './message';
import { topicsOf } from './names';
import { budgetFor } from './queues';
import { scan } from './scan';
import type { InspectorParts, MessageFilter, ParkedView } from './types';

/** Whole topics, as they are now. */
export async function wholeTopics({ log }: InspectorParts, topics: readonly string[]): Promise<readonly Span[]> {
  const bounds = await Promise.all(topics.map(async (topic) => ({ topic, all: await log.bounds(topic) })));
  return bounds.flatMap(({ topic, all }) =>
    all.map(({ partition, start, end }) => ({ topic, partition, from: start, end, without: [] })),
  );
}

/**
 * What is parked now, oldest first; of one queue if it is given. The key of a parked record is its queue and place:
 * only the newest of each counts, and one without a value takes it back.
 */
export async function* findParked(
  parts: InspectorParts,
  queue: string | undefined,
  filter: MessageFilter,
): AsyncGenerator<Parked> {
  const module = queue?.slice(0, queue.indexOf('.'));
  const spans = await wholeTopics(parts, await topicsOf(parts.log, parts.ns, ['parked'], module));
  const newest = new Map<string, number>();
  for await (const [letter] of scan(parts.log, spans, budgetFor(parts))) {
    newest.set(placeKey(letter), letter.record.offset);
  }
  for await (const [letter] of scan(parts.log, spans, budgetFor(parts))) {
    if (newest.get(placeKey(letter)) !== letter.record.offset) continue;
    const note = readNote(letter.record, letter.topic);
    if (!note || (queue !== undefined && note.queue !== queue)) continue;
    if (fits(withNote(letter, note), filter)) yield { topic: letter.topic, note, record: letter.record };
  }
}

/** The same, readable. */
export async function* readParked(
  parts: InspectorParts,
  queue: string | undefined,
  filter: MessageFilter,
): AsyncGenerator<ParkedView> {
  for await (const parked of findParked(parts, queue, filter)) yield parkedView(parked);
}

/** How many are parked, by queue. */
export async function countParked(parts: InspectorParts): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  for await (const { note } of findParked(parts, undefined, {})) {
    counts.set(note.queue, (counts.get(note.queue) ?? 0) + 1);
  }
  return counts;
}

export function parkedView({ topic, note, record }: Parked): ParkedView {
  const { queue, reason, attemptCount, attempts, parkedAtMs, instance, version, stub } = note;
  const first = record.value ?? new Uint8Array();
  const unread = { ok: false, reason: `only the first ${first.length} of ${stub?.bytes} bytes are parked` } as const;
  return {
    ...viewOf(withNote(letterOf(topic, record), note)),
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

/** The note knows the id and the entry also of a message whose envelope nobody can read. */
function withNote(letter: Letter, { id, entry, key }: ParkedNote): Letter {
  return { ...letter, id, entry, key };
}

/** What became by hand of messages that were parked, by the key of their parked record, as long as the log knows it. */
export async function readMended(parts: InspectorParts): Promise<ReadonlyMap<string, Mended>> {
  const found = new Map<string, Mended>();
  const spans = await wholeTopics(parts, await topicsOf(parts.log, parts.ns, ['parked']));
  for await (const [{ record }] of scan(parts.log, spans, budgetFor(parts))) {
    const { key, value, headers } = record;
    const mended = value === null ? mendedOf(headers['mended']) : undefined;
    if (key && mended) found.set(Buffer.from(key).toString(), mended);
  }
  return found;
}

function mendedOf(line = ''): Mended | undefined {
  try {
    const mended: unknown = JSON.parse(line);
    if (typeof mended !== 'object' || mended === null || !('how' in mended && 'by' in mended && 'atMs' in mended))
      return;
    const { how, by, atMs } = mended;
    if ((how !== 'replayed' && how !== 'dropped') || typeof by !== 'string' || typeof atMs !== 'number') return;
    return { how, by, atMs };
  } catch {
    return undefined; // none of ours
  }
}

function placeKey({ topic, record }: Letter): string {
  return `${topic} ${record.partition} ${record.key ? Buffer.from(record.key).toString('latin1') : record.offset}`;
}
