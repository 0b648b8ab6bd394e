/**
 * Sends work and events: checks, encodes and stamps messages, and appends those of one turn of the event loop together.
 */
import { Capacity } from '../base/bounded';
import { BusError, divideRemedy, isBusError, ofList, errorMessage } from '../base/errors';
import { closable } from '../base/lifecycle';
import { limits } from '../base/limits';
import { check } from '../contract/check';
import { moduleOf } from '../contract/contract';
import type { AnyEntry } from '../contract/types';
import { currentScope, inherited } from '../delivery/context';
import { encodeBody } from '../format/codec';
import { printEnvelope, type Envelope } from '../format/envelope';
import { idMaker } from '../format/id';
import { partitionOf } from '../format/partition';
import { type Append, PartialAppendError, type Topic } from '../ports/log';
import { eventTopic, workTopic } from './topics';
import type { Sender, SenderParts, Submitted } from './types';

/** Limits of one append, so that a single write does not delay the writes of other topics. */
const appendMessagesMax = 1_000;
const appendBytesMax = 8 * 1024 * 1024;

const retryAfterMs = 100;
/** Bytes reserved for each topic, so that other topics that filled the sender's buffer cannot block it. */
const reservedBytes = 4 * 1024 * 1024;

/** Limit of a key, because every queue holds the keys of its messages in memory. */
const keyBytesMax = 1_024;

const nothingInherited: ReturnType<typeof inherited> = {};

/** Form of the call: one message or a list. Errors of a list name the message that failed. */
export type How = 'one' | 'list';
/** Messages of a call, and the bytes of their bodies. The bytes are known before all checks have ended. */
interface Packed {
  readonly bytes: number;
  readonly ready: readonly EncodedMessage[] | Promise<readonly EncodedMessage[]>;
}

/** Messages of one call, complete except for their stamps. */
interface PendingSend {
  readonly how: How;
  readonly messages: readonly EncodedMessage[];
  readonly bytes: number;
  readonly answers: readonly Submitted[];
  resolve(answers: readonly Submitted[]): void;
  reject(error: unknown): void;
}
interface EncodedMessage {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array;
  readonly id: string;
  /** Gets its stamp when the record is created for the append. */
  readonly envelope: { -readonly [K in keyof Envelope]: Envelope[K] };
  readonly traceparent: string | undefined;
}

export function openSender(parts: SenderParts): Sender {
  const makeId = idMaker(parts.clock, parts.random);
  const bytesMax = parts.messageBytesMax ?? limits.messageBytesMax;
  const lines = new Map<string, Line>();
  /** Bytes of all topics together. */
  const whole = new Capacity({ count: Infinity, bytes: 2 * limits.sendingBytesMax });
  let position = 0;
  let closedMs: number | undefined;

  /**
   * Returns the next stamp. Stamps must follow the order of the appends, since a receiver drops a lower one as a
   * duplicate.
   */
  const stamp = (): Envelope['stamp'] => ({ incarnation: parts.incarnation, position: ++position });

  function lineOf(entry: AnyEntry): Line {
    const topic = topicOf(parts, entry);
    const found = lines.get(topic.name);
    if (found) return found;
    const made = new Line(parts, topic, stamp, whole);
    lines.set(topic.name, made);
    if (entry.kind === 'event') parts.publishes?.(topic.name);
    return made;
  }

  function pack(entry: AnyEntry, id: string, checked: unknown, body: () => Uint8Array): EncodedMessage {
    const key = keyOf(entry, checked);
    if (key && key.length > keyBytesMax) throw keyTooLarge(entry, key.length);
    const scope = currentScope(parts.scopes);
    const from = scope ? inherited(scope) : nothingInherited;
    const kind = entry.kind === 'event' ? 'event' : 'work';
    return {
      key,
      value: body(),
      id,
      envelope: {
        kind,
        entry: entry.name,
        id,
        from: parts.self.instance,
        stamp: undefined,
        sentMs: parts.clock.now(),
        cause: from.cause,
        baggage: from.baggage,
      },
      traceparent: from.traceparent,
    };
  }

  function packAll(entry: AnyEntry, inputs: readonly unknown[], how: How): Packed {
    const ids = inputs.map(makeId);
    let bytes = 0;
    let tooLong: BusError | undefined;
    const failed = (error: unknown, n: number): unknown =>
      how === 'list' && error !== tooLong ? ofList(error, n, inputs.length, ids[n] ?? '') : error;
    /** Stops at the byte limit, so that a list is not encoded into more memory than can wait. */
    const encode = (input: unknown): Uint8Array => {
      const body = encodeBody(input, bytesMax, 'input', entry.name, parts.bodyDepthMax);
      bytes += body.length;
      if (bytes <= limits.sendingBytesMax || inputs.length === 1) return body;
      throw (tooLong = tooManyBytes(entry, inputs.length, bytes));
    };
    const checked: unknown[] = [];
    let n = 0;
    try {
      for (; n < inputs.length; n++) checked.push(check(entry.schemas.input, inputs[n], 'input', entry.name));
      if (checked.some((one) => one instanceof Promise)) return packLater();
      const ready: EncodedMessage[] = [];
      for (n = 0; n < inputs.length; n++) ready.push(pack(entry, ids[n] ?? '', checked[n], () => encode(inputs[n])));
      return { bytes, ready };
    } catch (error) {
      void Promise.allSettled(checked); // the list is already rejected; the checks that still run change nothing
      throw failed(error, n);
    }
    /** Encodes the bodies before the checks have ended, so that the bytes of waiting messages are bounded too. */
    function packLater(): Packed {
      const bodies: Uint8Array[] = [];
      for (n = 0; n < inputs.length; n++) bodies.push(encode(inputs[n]));
      const ready = bodies.map(async (body, at): Promise<EncodedMessage> => {
        try {
          return pack(entry, ids[at] ?? '', await checked[at], () => body);
        } catch (error) {
          throw failed(error, at);
        }
      });
      return { bytes, ready: Promise.all(ready) };
    }
  }

  async function send(entry: AnyEntry, inputs: readonly unknown[], how: How = 'one'): Promise<readonly Submitted[]> {
    if (closedMs !== undefined) {
      throw new BusError('Closed', `the bus of ${parts.self.instance} was closed`, {
        outcome: 'not-sent',
        sinceMs: closedMs,
      });
    }
    if (inputs.length === 0) return [];
    if (inputs.length > limits.sendingMax) throw tooMany(entry, inputs.length);
    const line = lineOf(entry);
    line.mustHaveRoom(inputs.length);
    const answers = await line.send(inputs.length, how, packAll(entry, inputs, how));
    if (parts.notices.watched) {
      for (const { id } of answers) parts.notices.emit({ type: 'sent', kind: entry.kind, entry: entry.name, id });
    }
    return answers;
  }

  return {
    send,
    ...closable(async () => {
      closedMs = parts.clock.now();
      await Promise.all([...lines.values()].map((line) => line.idle()));
    }),
  };
}

function topicOf({ ns, keepMs }: SenderParts, entry: AnyEntry): Topic {
  return entry.kind === 'event' ? eventTopic(ns, entry, keepMs) : workTopic(ns, moduleOf(entry), entry.options.queue);
}

function keyOf(entry: AnyEntry, body: unknown): Uint8Array | null {
  if (!entry.options.key) return null;
  let fault: string;
  try {
    // `key` was declared for the body of this entry, which has just passed its schema.
    const key: unknown = entry.options.key(body as never);
    if (typeof key === 'string' && key.isWellFormed()) return Buffer.from(key);
    fault =
      typeof key === 'string'
        ? 'returned a string with half of a surrogate pair, which UTF-8 cannot hold'
        : `returned ${key === null ? 'null' : typeof key}, not a string`;
  } catch (error) {
    fault = `threw: ${errorMessage(error)}`;
  }
  const message = `key of ${entry.name} ${fault}`;
  throw new BusError('Invalid', message, { side: 'input', issues: [{ message }] });
}

/** Creates the error of a list that can never fit. It is not Overloaded, since waiting does not help. */
function tooMany(entry: AnyEntry, messages: number): BusError<'TooLarge'> {
  const limitMessages = limits.sendingMax;
  const message = `the list has ${messages} messages for ${entry.name}, the limit of one call is ${limitMessages}`;
  return new BusError('TooLarge', message, { messages, limitMessages });
}

function tooManyBytes(entry: AnyEntry, messages: number, bytes: number): BusError<'TooLarge'> {
  const limitBytes = limits.sendingBytesMax;
  const size = `${messages} messages for ${entry.name} has ${bytes} bytes or more`;
  const message = `a list of ${size}, the limit of one call is ${limitBytes} bytes`;
  return new BusError('TooLarge', message, { bytes, limitBytes }, undefined, divideRemedy);
}

/** Sets the outcome to 'not-sent', since the topic could not be prepared and nothing was appended. */
function notSent(error: unknown): unknown {
  if (!isBusError(error, 'Unreachable')) return error;
  const { message, details, cause } = error;
  return new BusError('Unreachable', message, { ...details, outcome: 'not-sent' }, cause);
}

/** Adds the index and id of the first failed message to the error of a list. */
function named({ how, messages }: PendingSend, error: BusError | undefined): BusError | Error | undefined {
  if (how === 'one' || !error) return error;
  const [index = 0] = error instanceof PartialAppendError ? error.failed.keys() : [];
  return ofList(error, index, messages.length, messages[index]?.id ?? '');
}

function keyTooLarge(entry: AnyEntry, bytes: number): BusError<'TooLarge'> {
  const message = `the key of ${entry.name} has ${bytes} bytes, the limit is ${keyBytesMax}. Use a hash of it`;
  return new BusError('TooLarge', message, { bytes, limitBytes: keyBytesMax });
}

/** Queue of the messages for one topic, in the order of the calls. */
class Line {
  #parcels: PendingSend[] = [];
  /** Messages that wait for their own check, for an earlier one, or for the log. */
  readonly #capacity: Capacity;
  /** Set while a parcel waits for its check, because later parcels must not overtake it. */
  #checking: Promise<unknown> | undefined;
  #there: Promise<unknown> | undefined;
  #ready = false;
  #planned = false;

  constructor(
    private readonly parts: SenderParts,
    private readonly topic: Topic,
    private readonly stamp: () => Envelope['stamp'],
    whole: Capacity,
  ) {
    this.#capacity = new Capacity({ count: limits.sendingMax, bytes: limits.sendingBytesMax }, whole, reservedBytes);
  }

  /** Throws Overloaded when the messages do not fit, so that a slow log or a missing topic does not fill the memory. */
  mustHaveRoom(messages: number, bytes = 0): void {
    const capacity = this.#capacity;
    if (!capacity.fits(bytes, messages))
      throw capacity.overloaded(this.topic.name, 'messages', retryAfterMs, bytes, messages);
  }

  /** Resolves when the log has acknowledged all messages. Throws Overloaded. */
  async send(count: number, how: How, { bytes, ready }: Packed): Promise<readonly Submitted[]> {
    if (ready instanceof Promise) ready.catch(() => undefined); // it can reject while it waits its turn; handled below
    this.mustHaveRoom(count, bytes);
    this.#capacity.add(bytes, count);
    if (!this.#checking && !(ready instanceof Promise)) return this.#put(how, ready, bytes);
    const turn = this.#inTurn(count, how, { bytes, ready }, this.#checking);
    const passed = turn.catch(() => undefined); // only its own sender gets the error; later parcels continue
    this.#checking = passed;
    void passed.then(() => {
      if (this.#checking === passed) this.#checking = undefined;
    });
    return (await turn).sent;
  }

  /** Wraps the promise of the append, so that a parcel that waits for its turn does not wait for the append too. */
  async #inTurn(
    count: number,
    how: How,
    { bytes, ready }: Packed,
    before: Promise<unknown> | undefined,
  ): Promise<{ readonly sent: Promise<readonly Submitted[]> }> {
    await before;
    try {
      return { sent: this.#put(how, await ready, bytes) };
    } catch (error) {
      this.#capacity.remove(bytes, count);
      throw error;
    }
  }

  /** Resolves when no message waits for a check or an append. */
  async idle(): Promise<void> {
    await this.#checking;
    await this.#capacity.below(0);
  }

  #put(how: How, messages: readonly EncodedMessage[], bytes: number): Promise<readonly Submitted[]> {
    const { reached } = this.parts;
    return new Promise((resolve, reject) => {
      const answers = messages.map(({ id }) => ({ id, reached }));
      this.#parcels.push({ how, messages, bytes, answers, resolve, reject });
      if (this.#planned) return;
      this.#planned = true;
      if (this.#ready) queueMicrotask(() => this.#flush());
      else void this.#ensure();
    });
  }

  async #ensure(): Promise<void> {
    this.#there ??= this.parts.log.ensure(this.topic);
    try {
      await this.#there;
      this.#ready = true;
      this.#flush();
    } catch (error) {
      this.#there = undefined; // the next message retries
      this.#planned = false;
      const unsent = notSent(error);
      for (const parcel of this.#parcels.splice(0)) this.#end(parcel, () => parcel.reject(unsent));
    }
  }

  #flush(): void {
    this.#planned = false;
    const parcels = this.#parcels;
    this.#parcels = [];
    let from = 0;
    let messages = 0;
    let bytes = 0;
    parcels.forEach((parcel, n) => {
      if (n > from && (messages >= appendMessagesMax || bytes >= appendBytesMax)) {
        void this.#append(parcels.slice(from, n));
        [from, messages, bytes] = [n, 0, 0];
      }
      messages += parcel.messages.length;
      bytes += parcel.bytes;
    });
    void this.#append(parcels.slice(from));
  }

  async #append(parcels: readonly PendingSend[]): Promise<void> {
    const sent: PendingSend[] = [];
    const records: Append[] = [];
    for (const parcel of parcels) {
      try {
        const made = parcel.messages.map((message, n) => this.#recordOf(parcel, message, n));
        for (const record of made) records.push(record);
        sent.push(parcel);
      } catch (error) {
        this.#end(parcel, () => parcel.reject(error)); // for example too much baggage; the other parcels are sent
      }
    }
    try {
      if (records.length > 0) await this.parts.log.append(this.topic.name, records);
      for (const parcel of sent) this.#end(parcel, () => parcel.resolve(parcel.answers));
    } catch (error) {
      this.#failed(sent, error);
    }
  }

  /** Settles the parcels of a failed append. With PartlyError, only parcels with failed records reject. */
  #failed(sent: readonly PendingSend[], error: unknown): void {
    let from = 0;
    for (const parcel of sent) {
      const count = parcel.messages.length;
      const mine = error instanceof PartialAppendError ? named(parcel, error.of(from, count)) : error;
      this.#end(parcel, () => (mine === undefined ? parcel.resolve(parcel.answers) : parcel.reject(mine)));
      from += count;
    }
  }

  #recordOf({ how, messages }: PendingSend, message: EncodedMessage, n: number): Append {
    try {
      return this.#record(message);
    } catch (error) {
      throw how === 'list' ? ofList(error, n, messages.length, message.id) : error;
    }
  }

  #record({ key, value, id, envelope, traceparent }: EncodedMessage): Append {
    envelope.stamp = this.stamp();
    const bus = printEnvelope(envelope);
    return {
      partition: partitionOf(key ?? Buffer.from(id), this.topic.partitions),
      key,
      value,
      headers: traceparent === undefined ? { bus } : { bus, traceparent },
    };
  }

  #end(parcel: PendingSend, report: () => void): void {
    report();
    this.#capacity.remove(parcel.bytes, parcel.messages.length);
  }
}
