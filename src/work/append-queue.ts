/** Queues the messages for one topic, and appends those of one turn of the event loop together. */
import { Capacity } from '../base/bounded';
import { BusError, isBusError, ofList } from '../base/errors';
import { limits } from '../base/limits';
import type { Envelope } from '../format/envelope-fields';
import { printEnvelope } from '../format/envelope-printer';
import { partitionOf } from '../format/partition';
import { type Append, PartialAppendError, type Place, type Topic } from '../ports/log';
import type { Outbox } from '../ports/outbox';
import type { EncodedCall, EncodedMessage, How } from './encode-messages';
import type { MessagePlace, Submitted } from './types';

/** Limits of one append, so that a single write does not delay the writes of other topics. */
const appendMessagesMax = 1_000;
const appendBytesMax = 8 * 1024 * 1024;

const retryAfterMs = 100;
/** Bytes reserved for each topic, so that other topics that filled the sender's buffer cannot block it. */
const reservedBytes = 4 * 1024 * 1024;

/** Messages of one call, complete except for their stamps. */
interface PendingSend {
  readonly how: How;
  readonly messages: readonly EncodedMessage[];
  readonly bytes: number;
  resolve(answers: readonly Submitted[]): void;
  reject(error: unknown): void;
}

/** Queue of the messages for one topic, in the order of the calls. */
export class AppendQueue {
  #pending: PendingSend[] = [];
  /** Messages that wait for their own check, for an earlier one, or for the log. */
  readonly #capacity: Capacity;
  /** Set while a call waits for its check, because later calls must not overtake it. */
  #checking: Promise<unknown> | undefined;
  #there: Promise<unknown> | undefined;
  #ready = false;
  #planned = false;
  /** Last offset that was written to each partition. */
  readonly #last = new Map<number, number>();

  constructor(
    private readonly outbox: Outbox,
    readonly topic: Topic,
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
  async send(count: number, how: How, { bytes, ready }: EncodedCall): Promise<readonly Submitted[]> {
    if (ready instanceof Promise) ready.catch(() => undefined); // it can reject while it waits its turn; handled below
    this.mustHaveRoom(count, bytes);
    this.#capacity.add(bytes, count);
    if (!this.#checking && !(ready instanceof Promise)) return this.#put(how, ready, bytes);
    const turn = this.#inTurn(count, how, { bytes, ready }, this.#checking);
    const passed = turn.catch(() => undefined); // only its own sender gets the error; later calls continue
    this.#checking = passed;
    void passed.then(() => {
      if (this.#checking === passed) this.#checking = undefined;
    });
    return (await turn).sent;
  }

  /** Wraps the promise of the append, so that a call that waits for its turn does not wait for the append too. */
  async #inTurn(
    count: number,
    how: How,
    { bytes, ready }: EncodedCall,
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

  /** Returns the last place that was written in each partition, by partition. */
  lastPlaces(): readonly MessagePlace[] {
    const topic = this.topic.name;
    return [...this.#last].sort(([a], [b]) => a - b).map(([partition, offset]) => ({ topic, partition, offset }));
  }

  #put(how: How, messages: readonly EncodedMessage[], bytes: number): Promise<readonly Submitted[]> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ how, messages, bytes, resolve, reject });
      if (this.#planned) return;
      this.#planned = true;
      if (this.#ready) queueMicrotask(() => this.#flush());
      else void this.#ensure();
    });
  }

  async #ensure(): Promise<void> {
    this.#there ??= this.outbox.ensure(this.topic);
    try {
      await this.#there;
      this.#ready = true;
      this.#flush();
    } catch (error) {
      this.#there = undefined; // the next message retries
      this.#planned = false;
      const unsent = notSent(error);
      for (const pending of this.#pending.splice(0)) this.#end(pending, () => pending.reject(unsent));
    }
  }

  #flush(): void {
    this.#planned = false;
    const sends = this.#pending;
    this.#pending = [];
    let from = 0;
    let messages = 0;
    let bytes = 0;
    sends.forEach((pending, n) => {
      if (n > from && (messages >= appendMessagesMax || bytes >= appendBytesMax)) {
        void this.#append(sends.slice(from, n));
        [from, messages, bytes] = [n, 0, 0];
      }
      messages += pending.messages.length;
      bytes += pending.bytes;
    });
    void this.#append(sends.slice(from));
  }

  async #append(sends: readonly PendingSend[]): Promise<void> {
    const sent: PendingSend[] = [];
    const records: Append[] = [];
    for (const pending of sends) {
      try {
        const made = pending.messages.map((message, n) => this.#recordOf(pending, message, n));
        for (const record of made) records.push(record);
        sent.push(pending);
      } catch (error) {
        this.#end(pending, () => pending.reject(error)); // for example too much baggage; the other calls are sent
      }
    }
    try {
      this.#settle(sent, records.length > 0 ? await this.outbox.append(this.topic.name, records) : []);
    } catch (error) {
      this.#settle(sent, error instanceof PartialAppendError ? error.places : [], error);
    }
  }

  /** Settles the calls of an append. With PartialAppendError, only calls with failed records reject. */
  #settle(sent: readonly PendingSend[], places: readonly (Place | undefined)[], error?: unknown): void {
    this.#note(places);
    let from = 0;
    for (const pending of sent) {
      const [first, count] = [from, pending.messages.length];
      const mine = error instanceof PartialAppendError ? named(pending, error.of(first, count)) : error;
      this.#end(pending, () => {
        if (mine === undefined) pending.resolve(this.#results(pending, places, first));
        else pending.reject(mine);
      });
      from += count;
    }
  }

  /** Keeps the highest offsets, because a call to several partitions can be acknowledged after later calls. */
  #note(places: readonly (Place | undefined)[]): void {
    for (const place of places) {
      if (place && place.offset >= (this.#last.get(place.partition) ?? 0))
        this.#last.set(place.partition, place.offset);
    }
  }

  #results({ messages }: PendingSend, places: readonly (Place | undefined)[], first: number): readonly Submitted[] {
    const [{ reached }, topic] = [this.outbox, this.topic.name];
    return messages.map(({ id }, n) => {
      const place = places[first + n];
      return place
        ? { id, reached, place: { topic, partition: place.partition, offset: place.offset } }
        : { id, reached };
    });
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

  #end(pending: PendingSend, report: () => void): void {
    report();
    this.#capacity.remove(pending.bytes, pending.messages.length);
  }
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
