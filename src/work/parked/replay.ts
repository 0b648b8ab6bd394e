/** Replays parked messages, or drops them for good. */
import { sleep, type Clock, type Random } from '../../base/clock';
import { BusError, outlookOf, errorMessage } from '../../base/errors';
import type { Envelope, Stamp } from '../../format/envelope-fields';
import { printEnvelope } from '../../format/envelope-printer';
import { incarnation } from '../../format/id';
import { parseTopic } from '../../format/names';
import { PartialAppendError, type Append, type Log, type LogRecord } from '../../ports/log';
import { envelopeOf, unreadable } from '../message';
import { originalKey, ours, type ParkedNote } from './park';
import type { Parked } from './find';
import { OriginalGoneError, readOriginal } from './stub';

export interface ReplayParts {
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  /** Instance that replays. It is named as the sender of records without a `bus` header. */
  readonly instance: string;
  /** Reason of the operator, stored with each message that is replayed or dropped. */
  readonly reason?: string | undefined;
}

const batchMessagesMax = 100;
const batchBytesMax = 8 * 1024 * 1024;
const triesMax = 5;
const retryMs = 200;

/** Called for a message that no retry can replay or drop. The other messages continue. */
export type Failed = (one: Parked, error: unknown) => void;

/**
 * Replays each message: sends its original bytes with the original id and key to its original partition, then removes
 * it. Messages of one key keep their order. The bytes of a stub are reread from the original place. Resolves with the
 * number of replayed messages. A message that cannot be sent stays parked and is reported to `failed`, because its
 * original is missing or its topic rejects it. Without `failed`, replay rejects with the first such error at its end.
 * Rejects with Unreachable when the log does not respond. Unconfirmed messages then stay parked, and can have been
 * sent.
 */
export async function replay(parts: ReplayParts, parked: readonly Parked[], failed?: Failed): Promise<number> {
  const nextStamp = stamps(parts.random);
  const failures: unknown[] = [];
  const fail = failed ?? ((_one, error) => void failures.push(error));
  const inOrder = parked.toSorted((a, b) => a.note.partition - b.note.partition || a.note.offset - b.note.offset);
  let count = 0;
  for (const list of byPlace(inOrder, ({ topic, note }) => `${topic} ${note.topic}`)) {
    const { topic, note } = list[0];
    for await (const batch of batches(parts, list, nextStamp, fail)) {
      const refused = await insist(
        parts,
        note.topic,
        batch.map(({ record }) => record),
      );
      for (const [index, error] of refused) if (batch[index]) fail(batch[index].parked, error);
      const sent = batch.filter((_one, index) => !refused.has(index)).map((one) => one.parked);
      await takeAway(parts, topic, sent, 'replayed');
      count += sent.length;
    }
  }
  if (failures.length > 0) throw failures[0];
  return count;
}

/** Removes messages from the parked topic for good. Returns their number. Rejects as {@link replay} does. */
export async function drop(parts: ReplayParts, parked: readonly Parked[]): Promise<number> {
  for (const list of byPlace(parked, ({ topic }) => topic)) {
    for (let at = 0; at < list.length; at += batchMessagesMax) {
      await takeAway(parts, list[0].topic, list.slice(at, at + batchMessagesMax), 'dropped');
    }
  }
  return parked.length;
}

/** Groups messages by place. Within a place they keep the given order. */
function byPlace(parked: readonly Parked[], placeOf: (one: Parked) => string): Iterable<[Parked, ...Parked[]]> {
  const lists = new Map<string, [Parked, ...Parked[]]>();
  for (const one of parked) {
    const place = placeOf(one);
    const list = lists.get(place);
    if (list) list.push(one);
    else lists.set(place, [one]);
  }
  return lists.values();
}

interface Resent {
  readonly parked: Parked;
  readonly record: Append;
}

/** Yields the messages of a list as they are sent, in batches of one append each. */
async function* batches(
  parts: ReplayParts,
  list: readonly Parked[],
  nextStamp: () => Stamp,
  fail: Failed,
): AsyncGenerator<readonly Resent[]> {
  let batch: Resent[] = [];
  let bytes = 0;
  for (const parked of list) {
    const record = await sentAgain(parts, parked, nextStamp, fail);
    if (!record) continue;
    const length = record.value?.length ?? 0;
    if (batch.length >= batchMessagesMax || (batch.length > 0 && bytes + length > batchBytesMax)) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push({ parked, record });
    bytes += length;
  }
  if (batch.length > 0) yield batch;
}

/** Returns the record to send. Resolves with undefined when the message was reported to `fail`. */
async function sentAgain(
  parts: ReplayParts,
  parked: Parked,
  nextStamp: () => Stamp,
  fail: Failed,
): Promise<Append | undefined> {
  const { note, record } = parked;
  try {
    if (!note.stub) return withStamp(parts, note, { ...record, key: originalKey(note, record.headers) }, nextStamp);
    const original = await readOriginal(parts.log, note);
    return withStamp(parts, note, { ...original, headers: ours(original.headers) }, nextStamp);
  } catch (error) {
    if (!(error instanceof OriginalGoneError) && outlookOf(error) === 'transient') throw error;
    fail(parked, error);
    return undefined;
  }
}

function withStamp(parts: ReplayParts, note: ParkedNote, record: LogRecord, nextStamp: () => Stamp): Append {
  const { key, value } = record;
  const { partition } = note;
  const { parked: _note, parkedKey: _key, ...headers } = record.headers;
  const old = envelopeOf(record);
  // The entry of the message is unknown, so it is sent unchanged. A newer reader can possibly decode it.
  if ((old && 'bad' in old) || (!old && note.entry === unreadable)) return { partition, key, value, headers };
  const fresh = {
    stamp: nextStamp(),
    sentMs: parts.clock.now(),
    replay: (old?.replay ?? 0) + 1,
    once: undefined, // otherwise the receiver drops it as a copy of the message that was parked
  };
  const bus = printEnvelope({ ...(old ?? madeUp(parts, note)), ...fresh });
  return { partition, key, value, headers: { ...headers, bus } };
}

function madeUp({ instance }: ReplayParts, { topic, entry, id }: ParkedNote): Envelope {
  return { kind: parseTopic(topic)?.kind === 'events' ? 'event' : 'work', entry, id, from: instance };
}

/**
 * Result for a parked message, as JSON in the header `mended` of its tombstone. It is known while the log keeps the
 * tombstone.
 */
export interface Repaired {
  readonly how: 'replayed' | 'dropped';
  /** Instance that replayed or dropped the message. */
  readonly by: string;
  readonly atMs: number;
  /** Id and entry of the message. Undefined in records of earlier versions. */
  readonly id?: string | undefined;
  readonly entry?: string | undefined;
  /** Reason of the operator. */
  readonly reason?: string | undefined;
}

async function takeAway(
  parts: ReplayParts,
  topic: string,
  parked: readonly Parked[],
  how: Repaired['how'],
): Promise<void> {
  const repaired: Repaired = { how, by: parts.instance, atMs: parts.clock.now(), reason: parts.reason };
  const tombstones = parked.map(({ note: { id, entry }, record: { partition, key } }) => {
    const headers = { mended: JSON.stringify({ ...repaired, id, entry }) };
    return { partition, key, value: null, headers };
  });
  const [refused] = (await insist(parts, topic, tombstones)).values();
  if (refused !== undefined) throw refused;
}

/** Returns a generator of stamps with a sender incarnation of its own, for this replay alone. */
function stamps(random: Random): () => Stamp {
  const life = incarnation(random);
  let position = 0;
  return () => ({ incarnation: life, position: ++position });
}

/**
 * Appends the records, and retries while this can succeed. Repeating the same records is harmless, since receivers know
 * the stamps and the parked topic keeps one for each key. Returns the errors of rejected records by their index.
 * Rejects with Unreachable when the outcome of all records is unknown.
 */
async function insist(
  parts: ReplayParts,
  topic: string,
  records: readonly Append[],
): Promise<ReadonlyMap<number, unknown>> {
  const { log, clock } = parts;
  if (records.length === 0) return new Map();
  const sinceMs = clock.mono();
  for (let tries = 1; ; tries++) {
    try {
      await log.append(topic, records);
      return new Map();
    } catch (error) {
      // A record of unknown outcome is not repeated: a later record of its partition can exist, so its stamp is
      // outdated.
      if (error instanceof PartialAppendError) return error.failed;
      if (outlookOf(error) !== 'transient') return records.length > 1 ? oneByOne(parts, topic, records) : only(error);
      if (tries >= triesMax) {
        const waitedMs = clock.mono() - sinceMs;
        const cause = errorMessage(error);
        const message = `${records.length} records for ${topic} were not confirmed in ${tries} tries: ${cause}`;
        throw new BusError('Unreachable', message, { outcome: 'unknown', waitedMs, cause }, error);
      }
      await sleep(clock, retryMs * 2 ** tries);
    }
  }
}
const only = (error: unknown): ReadonlyMap<number, unknown> => new Map([[0, error]]);

/**
 * Appends the records one by one, since a log that rejects a list as a whole does not report which record it rejects.
 */
async function oneByOne(
  parts: ReplayParts,
  topic: string,
  records: readonly Append[],
): Promise<ReadonlyMap<number, unknown>> {
  const refused = new Map<number, unknown>();
  for (const [index, record] of records.entries()) {
    for (const error of (await insist(parts, topic, [record])).values()) refused.set(index, error);
  }
  return refused;
}
