/** Sends parked messages again, or drops them for good. */
import { sleep, type Clock, type Random } from '../base/clock';
import { BusError, sayError } from '../base/errors';
import { printEnvelope, type Envelope, type Stamp } from '../format/envelope';
import { incarnation } from '../format/id';
import { parseTopic } from '../format/names';
import type { Append, Log } from '../ports/log';
import { unreadable } from './lanes';
import { envelopeOf } from './message';
import type { Parked } from './parked';

export interface ReplayParts {
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  /** Who replays: named as the sender of records that brought no header of ours. */
  readonly instance: string;
}

const batchMax = 100;
const triesMax = 5;
const retryMs = 200;

/**
 * Sends each again: the original bytes under the original id and key, to the partition it came from, as a replay.
 * Then takes it out of the parked topic. Messages of one key keep their order. Gives how many went.
 * Rejects with Unreachable when the log does not answer: what was not confirmed stays parked, and may have been sent.
 */
export async function replay(parts: ReplayParts, parked: readonly Parked[]): Promise<number> {
  const nextStamp = stamps(parts.random);
  const inOrder = parked.toSorted((a, b) => a.note.partition - b.note.partition || a.note.offset - b.note.offset);
  for (const batch of batches(inOrder, ({ topic, note }) => `${topic} ${note.topic}`)) {
    const [{ topic, note }] = batch;
    await insist(
      parts,
      note.topic,
      batch.map((one) => sentAgain(parts, one, nextStamp)),
    );
    await takeAway(parts, topic, batch, 'replayed');
  }
  return parked.length;
}

/** Takes them out of the parked topic for good. Gives how many. Rejects as {@link replay} does. */
export async function drop(parts: ReplayParts, parked: readonly Parked[]): Promise<number> {
  for (const batch of batches(parked, ({ topic }) => topic)) await takeAway(parts, batch[0].topic, batch, 'dropped');
  return parked.length;
}

type Batch = readonly [Parked, ...Parked[]];

/** In the order given within what goes to one place. */
function batches(parked: readonly Parked[], placeOf: (one: Parked) => string): readonly Batch[] {
  const open = new Map<string, [Parked, ...Parked[]]>();
  const all: Batch[] = [];
  for (const one of parked) {
    const place = placeOf(one);
    const batch = open.get(place);
    if (batch && batch.length < batchMax) batch.push(one);
    else {
      const next: [Parked, ...Parked[]] = [one];
      open.set(place, next);
      all.push(next);
    }
  }
  return all;
}

function sentAgain(parts: ReplayParts, { note, record }: Parked, nextStamp: () => Stamp): Append {
  const { value, headers } = record;
  const { parked: _note, ...original } = headers;
  const old = envelopeOf(record);
  const { partition } = note;
  // Nobody could say which entry it is for: as it came, for readers that have learnt to read it since.
  if ((old && 'bad' in old) || (!old && note.entry === unreadable)) {
    return { partition, key: keyOf(note), value, headers: original };
  }
  const fresh = { stamp: nextStamp(), sentMs: parts.clock.now(), replay: (old?.replay ?? 0) + 1 };
  const bus = printEnvelope({ ...(old ?? madeUp(parts, note)), ...fresh });
  return { partition, key: keyOf(note), value, headers: { ...original, bus } };
}

function madeUp({ instance }: ReplayParts, { topic, entry, id }: Parked['note']): Envelope {
  return { kind: parseTopic(topic)?.kind === 'events' ? 'event' : 'work', entry, id, from: instance };
}

function keyOf({ key, keyBase64 }: Parked['note']): Uint8Array | null {
  if (keyBase64 !== undefined) return Buffer.from(keyBase64, 'base64');
  return key === null ? null : Buffer.from(key);
}

/** What became of a parked message, as JSON in the header `mended` of its tombstone: known while the log keeps that. */
export interface Mended {
  readonly how: 'replayed' | 'dropped';
  /** The instance that did it. */
  readonly by: string;
  readonly atMs: number;
}

function takeAway(parts: ReplayParts, topic: string, batch: Batch, how: Mended['how']): Promise<void> {
  const mended: Mended = { how, by: parts.instance, atMs: parts.clock.now() };
  const headers = { mended: JSON.stringify(mended) };
  const tombstones = batch.map(({ record: { partition, key } }) => ({ partition, key, value: null, headers }));
  return insist(parts, topic, tombstones);
}

/** One life of a sender, for this replay alone. */
function stamps(random: Random): () => Stamp {
  const life = incarnation(random);
  let position = 0;
  return () => ({ incarnation: life, position: ++position });
}

/** The very same records again do no harm: receivers know the stamps, and the parked topic keeps one for each key. */
async function insist({ log, clock }: ReplayParts, topic: string, records: readonly Append[]): Promise<void> {
  const sinceMs = clock.mono();
  for (let tries = 1; ; tries++) {
    try {
      await log.append(topic, records);
      return;
    } catch (error) {
      if (tries >= triesMax) {
        const waitedMs = clock.mono() - sinceMs;
        const cause = sayError(error);
        const message = `${records.length} records for ${topic} were not confirmed in ${tries} tries: ${cause}`;
        throw new BusError('Unreachable', message, { waitedMs, cause }, error);
      }
      await sleep(clock, retryMs * 2 ** tries);
    }
  }
}
