/** A record of a queue as the engine holds it: whose message it is, and what was tried with it. */
import type { Behind } from '../base/errors';
import type { DeliveryContext } from '../delivery/context';
import { parseEnvelope, type Envelope } from '../format/envelope';
import type { Log, Place, Stored } from '../ports/log';
import type { Queue } from './types';

/** Stands for the entry of a record that says none: such records are set aside, a few at a time. */
export const unreadable = '';

export interface Item {
  readonly partition: number;
  readonly offset: number;
  readonly entry: string;
  /** Messages of one lane never run side by side; null is a lane of its own. */
  readonly lane: string | null;
  /** Where it runs; for the lanes alone, who are spared a table of it. */
  runsIn: object | undefined;
}

/** The partition a message came from, as long as this instance owns it. */
export interface Holder {
  /** Aborts when nothing may come of its messages any more: it was lost, or given. */
  readonly closed: AbortSignal;
  readonly retained: {
    /** Whether its handler ended well although its partition was lost before that: it only has to be settled. */
    isDone(message: Message): boolean;
    /** Its handler has ended after the partition was closed; `done` when it needs no other attempt. */
    ended(message: Message, done: boolean): void;
  };
  mayStart(message: Message): boolean;
  started(message: Message): void;
  /** Resolves when the log knows that its handler runs; undefined where that may be called at once. */
  announce(message: Message): Promise<void> | undefined;
  /** Whether its handler may be called after a wait: it is let go of if not. */
  mayRun(message: Message): boolean;
  failed(message: Message): void;
  settle(message: Message): void;
}

/** One attempt that failed, as it is kept with a parked message, with what was behind its error. */
export interface Attempt extends Behind {
  readonly attempt: number;
  readonly atMs: number;
  readonly error: string;
  readonly stack?: string;
  readonly instance: string;
}

const none: readonly Attempt[] = [];

export class Message implements Item {
  /** Attempts that ended, those of owners before included as far as they were committed. */
  attempts = 0;
  /** The last one did not end: it may be what ended its process. */
  cutOff = false;
  /** The log is being told that its handler runs. */
  announced = false;
  /** What is known of them: only of those in this instance. */
  failures: readonly Attempt[] = none;
  /** Of the handler call that goes on. */
  context: DeliveryContext | undefined;
  sinceMs = 0;
  runsIn: object | undefined;
  readonly partition: number;
  readonly offset: number;
  /** About what it takes in memory. */
  readonly bytes: number;

  constructor(
    readonly holder: Holder,
    readonly record: Stored,
    /** {@link unreadable} when it cannot be known. */
    readonly entry: string,
    readonly id: string,
    readonly lane: string | null,
    readonly envelope: Envelope | undefined,
    /** Why it can only be set aside. */
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
  for (const name in headers) bytes += name.length + (headers[name]?.length ?? 0); // foreign ones may have any number
  return bytes;
}

/** Where a record is, in one word: the id of those that bring none. */
export const placeOf = (topic: string, { partition, offset }: { partition: number; offset: number }): string =>
  `${topic}/${partition}/${offset}`;

/** The envelope of a record: undefined without our header. */
export function envelopeOf(record: Pick<Stored, 'headers'>): ReturnType<typeof parseEnvelope> | undefined {
  const line = record.headers['bus'];
  return line === undefined ? undefined : parseEnvelope(line);
}

function textOf(key: Uint8Array): string {
  return (Buffer.isBuffer(key) ? key : Buffer.from(key.buffer, key.byteOffset, key.length)).toString();
}

/** The message of a record; undefined for one that is not for this queue. */
export function readMessage(
  queue: Queue,
  record: Stored,
  envelope: ReturnType<typeof envelopeOf>,
  holder: Holder,
): Message | undefined {
  const lane = record.key && textOf(record.key);
  const place = (): string => placeOf(queue.topic.name, record);
  if (envelope && 'bad' in envelope) {
    const refusal = `its header is not readable: ${envelope.bad}`;
    return new Message(holder, record, unreadable, place(), lane, undefined, refusal);
  }
  if (envelope && envelope.kind !== 'work' && envelope.kind !== 'event') {
    const refusal = `a ${envelope.kind} is not for a queue`;
    return new Message(holder, record, unreadable, envelope.id, lane, undefined, refusal);
  }
  if (envelope) {
    const { entry, id } = envelope;
    if (queue.other === 'skip' && !queue.entries.has(entry)) return undefined;
    return new Message(holder, record, entry, id, lane, envelope, undefined);
  }
  const [only, ...more] = queue.entries.keys();
  return only !== undefined && more.length === 0
    ? new Message(holder, record, only, place(), lane, undefined, undefined)
    : new Message(holder, record, unreadable, place(), lane, undefined, 'no header says which entry it is for');
}

/** Entry and id of the record at a place; the place alone where the record cannot be read. */
export async function describeAt(log: Pick<Log, 'peek'>, topic: string, place: Place): Promise<string> {
  const [record] = await log.peek(topic, place, { messages: 1, bytes: 1 }).catch(() => []);
  const envelope = record && envelopeOf(record);
  return envelope && 'id' in envelope ? `${envelope.entry} ${envelope.id}` : placeOf(topic, place);
}
