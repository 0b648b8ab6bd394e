/** A record of a queue in memory: its identity, its partition, and its attempts so far. */
import type { Behind } from '../base/errors';
import type { DeliveryContext } from '../delivery/context';
import type { Envelope } from '../format/envelope-fields';
import { parseEnvelope } from '../format/envelope-parser';
import type { Log, Place, Stored } from '../ports/log';
import type { Queue } from './types';

/** Entry name of records whose entry cannot be read. They are parked, under limits of their own. */
export const unreadable = '';

export interface Item {
  readonly partition: number;
  readonly offset: number;
  readonly entry: string;
  /** Key of the message. Messages of one lane never run concurrently; null is a lane of its own. */
  readonly lane: string | null;
  /** Lane in which the message runs. Only the lanes use it: a field is cheaper than a table of running messages. */
  runsIn: object | undefined;
}

/** Partition from which a message was read, while this instance owns it. */
export interface Holder {
  /** Aborts when results of its messages no longer count: the partition was lost or revoked. */
  readonly closed: AbortSignal;
  readonly retained: {
    /**
     * Returns true when the handler succeeded after the partition had been lost, so that the message only has to be
     * settled.
     */
    isDone(message: Message): boolean;
    /**
     * Records that the handler has ended after the partition was closed. `done` means that no other attempt is needed.
     */
    ended(message: Message, done: boolean): void;
  };
  mayStart(message: Message): boolean;
  started(message: Message): void;
  /**
   * Resolves when the log has recorded that the handler runs. Returns undefined when the handler can be called at once.
   */
  announce(message: Message): Promise<void> | undefined;
  /**
   * Returns true when the handler can still be called after waiting for `announce`. Otherwise the message is released.
   */
  mayRun(message: Message): boolean;
  /** Releases a message for another attempt. `counts` means that the attempt that ended is recorded. */
  again(message: Message, counts: boolean): void;
  settle(message: Message): void;
}

/** One failed attempt, as it is stored with a parked message, with the causes of its error. */
export interface Attempt extends Behind {
  readonly attempt: number;
  readonly atMs: number;
  readonly error: string;
  readonly stack?: string;
  readonly instance: string;
}

const none: readonly Attempt[] = [];

export class Message implements Item {
  /** Number of attempts that ended, including committed attempts of earlier owners. */
  attempts = 0;
  /** True when the last attempt did not end, so that the message is suspected of having ended its process. */
  interrupted = false;
  /** True while the log is recording that the handler runs. */
  announced = false;
  /** Details of failed attempts, only of those in this instance. */
  failures: readonly Attempt[] = none;
  /** Context of the handler call that is running. */
  context: DeliveryContext | undefined;
  sinceMs = 0;
  runsIn: object | undefined;
  readonly partition: number;
  readonly offset: number;
  /** Approximate size in memory. */
  readonly bytes: number;

  constructor(
    readonly holder: Holder,
    readonly record: Stored,
    /** {@link unreadable} when the entry cannot be known. */
    readonly entry: string,
    readonly id: string,
    readonly lane: string | null,
    readonly envelope: Envelope | undefined,
    /** Reason why the message can only be parked. */
    readonly refusal: string | undefined,
  ) {
    this.partition = record.partition;
    this.offset = record.offset;
    this.bytes = bytesOf(record);
  }
}

const recordOverheadBytes = 200;
function bytesOf({ key, value, headers }: Stored): number {
  let bytes = recordOverheadBytes + (key?.length ?? 0) + (value?.length ?? 0);
  // foreign records can have any number of headers
  for (const name in headers) bytes += name.length + (headers[name]?.length ?? 0);
  return bytes;
}

/** Returns the topic, partition and offset of a record as one word: the id of records that carry none. */
export const placeOf = (topic: string, { partition, offset }: { partition: number; offset: number }): string =>
  `${topic}/${partition}/${offset}`;

/** Returns the envelope of a record. Returns undefined when the record has no `bus` header. */
export function envelopeOf(record: Pick<Stored, 'headers'>): ReturnType<typeof parseEnvelope> | undefined {
  const line = record.headers['bus'];
  return line === undefined ? undefined : parseEnvelope(line);
}

function textOf(key: Uint8Array): string {
  return (Buffer.isBuffer(key) ? key : Buffer.from(key.buffer, key.byteOffset, key.length)).toString();
}

/**
 * Returns the message of a record. Returns undefined when the record is not for this queue. `refusal` is a reason why
 * the message can only be parked.
 */
export function readMessage(
  queue: Queue,
  record: Stored,
  envelope: ReturnType<typeof envelopeOf>,
  holder: Holder,
  refusal?: string,
): Message | undefined {
  const lane = record.key && textOf(record.key);
  const place = (): string => placeOf(queue.topic.name, record);
  if (envelope && 'bad' in envelope) {
    const refusal = `its header cannot be decoded: ${envelope.bad}`;
    return new Message(holder, record, unreadable, place(), lane, undefined, refusal);
  }
  if (envelope && envelope.kind !== 'work' && envelope.kind !== 'event') {
    const refusal = `a ${envelope.kind} cannot be handled from a queue`;
    return new Message(holder, record, unreadable, envelope.id, lane, undefined, refusal);
  }
  if (envelope) {
    const { entry, id } = envelope;
    if (queue.other === 'skip' && !queue.entries.has(entry)) return undefined;
    return new Message(holder, record, entry, id, lane, envelope, refusal);
  }
  const [only, ...more] = queue.entries.keys();
  return only !== undefined && more.length === 0
    ? new Message(holder, record, only, place(), lane, undefined, undefined)
    : new Message(holder, record, unreadable, place(), lane, undefined, 'no header names its entry');
}

/** Returns the entry and id of the record at a place, or only the place when the record cannot be read. */
export async function describeAt(log: Pick<Log, 'peek'>, topic: string, place: Place): Promise<string> {
  const [record] = await log.peek(topic, place, { messages: 1, bytes: 1 }).catch(() => []);
  const envelope = record && envelopeOf(record);
  return envelope && 'id' in envelope ? `${envelope.entry} ${envelope.id}` : placeOf(topic, place);
}
