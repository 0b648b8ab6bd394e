/**
 * A plain kafkajs producer with the settings of the producer simulation. kafkajs has no bounded buffer of its own, so the
 * three settings of the Java producer that lost messages are added here: `buffer.memory`, `max.block.ms` and
 * `delivery.timeout.ms`.
 */
import { Kafka, logLevel, type Producer } from 'kafkajs';
import { later } from './scene';

export interface PlainSettings {
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly topic: string;
  /** `buffer.memory`: bytes of messages that are not acknowledged yet. */
  readonly bufferBytes: number;
  /** `max.block.ms`: time that a send waits for room in the buffer. */
  readonly blockMs: number;
  /** `request.timeout.ms` */
  readonly requestMs: number;
  /** `delivery.timeout.ms` */
  readonly deliveryMs: number;
}

export class PlainProducer {
  readonly #producer: Producer;
  readonly #waiting: { readonly bytes: number; readonly admit: () => void }[] = [];
  readonly #open = new Set<Promise<void>>();
  #usedBytes = 0;
  /** Sends that found no room within `blockMs`. */
  exhausted = 0;
  /** Sends that were not acknowledged within `deliveryMs`, or failed. */
  failed = 0;

  constructor(private readonly settings: PlainSettings) {
    const { brokers, clientId, requestMs: requestTimeout } = settings;
    const kafka = new Kafka({ brokers: [...brokers], clientId, requestTimeout, logLevel: logLevel.NOTHING });
    this.#producer = kafka.producer({ maxInFlightRequests: 1, retry: { retries: 0 } });
  }

  connect(): Promise<void> {
    return this.#producer.connect();
  }
  close(): Promise<void> {
    return this.#producer.disconnect();
  }
  /** Resolves when no message is in the buffer, and none waits for room. */
  async idle(): Promise<void> {
    while (this.#waiting.length + this.#open.size > 0) {
      await Promise.race([Promise.allSettled(this.#open), later(this.settings.blockMs)]);
    }
  }

  /** Resolves when the leader has acknowledged the message. Rejects when it found no room, or was not acknowledged. */
  async send(key: string, value: Uint8Array): Promise<void> {
    await this.#room(value.length);
    const produced: Promise<void> = this.#produce(key, value).finally(() => this.#open.delete(produced));
    this.#open.add(produced);
    try {
      await within(this.settings.deliveryMs, produced);
    } catch (error) {
      this.failed++;
      throw error;
    }
  }

  async #produce(key: string, value: Uint8Array): Promise<void> {
    const { topic, requestMs: timeout } = this.settings;
    try {
      await this.#producer.send({ topic, acks: 1, timeout, messages: [{ key, value: Buffer.from(value) }] });
    } finally {
      this.#usedBytes -= value.length; // a message keeps its room until kafkajs has let go of it
      this.#admit();
    }
  }

  /** Resolves when the buffer has room, in the order of the calls. */
  #room(bytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting = {
        bytes,
        admit: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        this.exhausted++;
        reject(new Error('BufferExhaustedException'));
      }, this.settings.blockMs);
      this.#waiting.push(waiting);
      this.#admit();
    });
  }

  #admit(): void {
    for (let [first] = this.#waiting; first; [first] = this.#waiting) {
      if (this.#usedBytes + first.bytes > this.settings.bufferBytes) return;
      this.#usedBytes += first.bytes;
      this.#waiting.shift();
      first.admit();
    }
  }
}

/** Rejects after `withinMs`; what was awaited goes on. */
export async function within<T>(withinMs: number, what: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`TimeoutException after ${withinMs} ms`)), withinMs);
  });
  return Promise.race([what, late]).finally(() => clearTimeout(timer));
}
