/** Sets a message aside: its bytes as they came, the reason, and every attempt that is known. */
import { sayError } from '../base/errors';
import type { Append } from '../ports/log';
import { placeOf, type Attempt, type Message } from './message';
import type { Queue, TakeParts } from './types';

/** What is written beside a parked message, as JSON in its header `parked`. */
export interface ParkedNote {
  readonly queue: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly id: string;
  /** Empty when the record did not say. */
  readonly entry: string;
  readonly key: string | null;
  /** The key in full where it is no text. */
  readonly keyBase64?: string;
  readonly reason: string;
  /** How many there were; `attempts` has those that ended in the instance that parked it, at most the last 20. */
  readonly attemptCount: number;
  readonly attempts: readonly Attempt[];
  readonly parkedAtMs: number;
  readonly instance: string;
  readonly version: string;
}

export const attemptsKept = 20;
const errorCharsMax = 500;
const stackCharsMax = 2_000;
/** A parked topic takes 64 KB more than a message. */
const noteBytesMax = 60_000;

/** The key of a parked record is its queue and place, so parking twice is parking once, and dropping is a tombstone. */
export const parkedKey = (queue: string, topic: string, place: { partition: number; offset: number }): string =>
  `${queue}/${placeOf(topic, place)}`;

export function attemptOf(attempt: number, error: unknown, atMs: number, instance: string): Attempt {
  const said = sayError(error).slice(0, errorCharsMax);
  const stack = error instanceof Error && error.stack?.slice(0, stackCharsMax);
  return { attempt, atMs, error: said, ...(stack && { stack }), instance };
}

export function parkedRecord(parts: TakeParts, queue: Queue, message: Message, reason: string): Append {
  const { record, id, entry, lane } = message;
  const { partition, offset, headers, value, key } = record;
  const isText = key === null || lane === null || Buffer.from(lane).equals(key);
  const note: ParkedNote = {
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
  return {
    partition: 0,
    key: Buffer.from(parkedKey(queue.name, queue.topic.name, record)),
    value,
    headers: { ...ours(headers), parked: printNote(note) },
  };
}

/** Only what we read again: a foreign producer may have sent any number of others. */
function ours({ bus, traceparent }: Message['record']['headers']): Record<string, string> {
  return { ...(bus !== undefined && { bus }), ...(traceparent !== undefined && { traceparent }) };
}

/** Leaves out stacks, then attempts, oldest first, until it fits. */
function printNote(note: ParkedNote): string {
  const attempts = [...note.attempts];
  for (let n = 0; ; n++) {
    const line = JSON.stringify({ ...note, attempts });
    if (Buffer.byteLength(line) <= noteBytesMax) return line;
    const oldest = attempts[n];
    if (oldest) {
      const { stack: _left, ...rest } = oldest;
      attempts[n] = rest;
    } else if (attempts.length > 0) attempts.shift();
    else return JSON.stringify({ ...note, attempts, key: null, keyBase64: undefined }); // a foreign one, of many KB
  }
}
