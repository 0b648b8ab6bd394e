/** Creates the record of a parked message: its original bytes, the reason, and its known attempts. */
import { behind, isError, errorMessage } from '../../base/errors';
import type { Append, LogRecord } from '../../ports/log';
import { placeOf, type Attempt, type Message } from '../message';
import type { Queue, ConsumerParts } from '../types';

/** Note of a parked message, stored as JSON in its header `parked`. */
export interface ParkedNote {
  readonly queue: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly id: string;
  /** Empty when the record did not name its entry. */
  readonly entry: string;
  readonly key: string | null;
  /** Full key, when the key is not valid UTF-8. */
  readonly keyBase64?: string;
  readonly reason: string;
  /** Number of all attempts. `attempts` holds those that ended in the parking instance, at most the last 20. */
  readonly attemptCount: number;
  readonly attempts: readonly Attempt[];
  readonly parkedAtMs: number;
  readonly instance: string;
  readonly version: string;
  /** Set when the record is a stub, because the message was too large to be parked whole. */
  readonly stub?: Stub;
}
/**
 * Facts of a stub about the value that it replaces. The whole message stays in its original log until it is trimmed.
 */
export interface Stub {
  /** Size of the whole value, in bytes. */
  readonly bytes: number;
  /** SHA-256 of the whole value, in hex. */
  readonly sha256: string;
  /** Reason why the message could not be parked whole. */
  readonly refusal: string;
}

export const attemptsKept = 20;
const errorCharsMax = 500;
const stackCharsMax = 2_000;
/** Maximum size of a note. A parked topic accepts records 64 KB larger than a message. */
const noteBytesMax = 60_000;

/**
 * Returns the key of a parked record: its queue and place. Parking twice then keeps one record, and a tombstone drops
 * it.
 */
export const parkedKey = (queue: string, topic: string, place: { partition: number; offset: number }): string =>
  `${queue}/${placeOf(topic, place)}`;

export function attemptOf(attempt: number, error: unknown, atMs: number, instance: string): Attempt {
  const text = errorMessage(error).slice(0, errorCharsMax);
  const stack = isError(error) && error.stack?.slice(0, stackCharsMax);
  return { attempt, atMs, error: text, ...(stack && { stack }), ...behind(error), instance };
}

/** Returns the note of a message, for both forms of its record. */
export function parkedNote(parts: ConsumerParts, queue: Queue, message: Message, reason: string): ParkedNote {
  const { record, id, entry, lane } = message;
  const { partition, offset, key } = record;
  const isText = key === null || lane === null || Buffer.from(lane).equals(key);
  return {
    queue: queue.name,
    topic: queue.topic.name,
    partition,
    offset,
    id,
    entry,
    key: lane,
    ...(!isText && { keyBase64: Buffer.from(key).toString('base64') }),
    reason: reason.slice(0, stackCharsMax),
    attemptCount: message.attempts,
    attempts: message.failures,
    parkedAtMs: parts.clock.now(),
    instance: parts.self.instance,
    version: parts.version,
  };
}

/** Returns the record of a message that is parked whole, with its original bytes. */
export function wholeRecord(note: ParkedNote, { record }: Message): Append {
  const { value, headers, key } = record;
  const parked = printNote(note, noteBytesMax);
  if (parked !== undefined) {
    return { partition: 0, key: keyOf(note), value, headers: { ...ours(headers), parked } };
  }
  // A foreign key of many KB does not fit into the note, so it gets a header of its own.
  const { keyBase64: _left, ...rest } = note;
  const withoutKey = printNote({ ...rest, key: null }, noteBytesMax) ?? JSON.stringify({ ...rest, attempts: [] });
  const parkedKey = Buffer.from(key ?? []).toString('base64');
  return { partition: 0, key: keyOf(note), value, headers: { ...ours(headers), parked: withoutKey, parkedKey } };
}

/** Returns the original key of a message that was parked whole, byte for byte. */
export function originalKey({ key, keyBase64 }: ParkedNote, { parkedKey }: LogRecord['headers']): Uint8Array | null {
  const base64 = keyBase64 ?? parkedKey;
  if (base64 !== undefined) return Buffer.from(base64, 'base64');
  return key === null ? null : Buffer.from(key);
}

export const keyOf = ({ queue, topic, ...place }: ParkedNote): Uint8Array =>
  Buffer.from(parkedKey(queue, topic, place));

/** Keeps only the headers that busbar reads. A foreign producer can have sent any number of other headers. */
export function ours({ bus, traceparent }: Message['record']['headers']): Record<string, string> {
  return { ...(bus !== undefined && { bus }), ...(traceparent !== undefined && { traceparent }) };
}

/** Removes stacks with causes, then attempts, oldest first, until the note fits. Returns undefined if it never fits. */
export function printNote(note: ParkedNote, bytesMax: number): string | undefined {
  const attempts = [...note.attempts];
  for (let n = 0; ; n++) {
    const line = JSON.stringify({ ...note, attempts });
    if (Buffer.byteLength(line) <= bytesMax) return line;
    const oldest = attempts[n];
    if (oldest) {
      const { stack: _stack, cause: _cause, errors: _errors, ...rest } = oldest;
      attempts[n] = rest;
    } else if (attempts.length > 0) attempts.shift();
    else return undefined;
  }
}
