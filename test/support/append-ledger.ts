/** A sender under load and a group of three workers, whose records are checked by id while servers fail. */
import { isBusError } from '../../src/base/errors';
import type { BrokerClient } from '../../src/kafka/client/broker-client';
import type { Owner } from '../../src/ports/log';
import { Ledger, Worker } from '../conformance/worker';
import { openRealProcess, openRealClient, type KafkaProcess } from './kafka-log-ports';

const partitions = 6;
/** Long, so that a lost partition means a false report, not a process that paused. */
const sessionMs = 20_000;
const appenders = 8;
export const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until(condition: () => boolean | Promise<boolean>, withinMs: number, what: string): Promise<void> {
  const untilMs = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > untilMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await later(50);
  }
}

export class LogScene {
  readonly ledger = new Ledger();
  readonly resolved: string[] = [];
  readonly unknown: string[] = [];
  readonly refused: unknown[] = [];
  readonly #workers: { readonly worker: Worker; readonly process: KafkaProcess }[] = [];
  readonly #sender: KafkaProcess;
  /** Number of partitions that members have lost. */
  lost = 0;
  #running = true;
  #loads: Promise<void>[] = [];

  constructor(
    readonly brokers: string,
    /** Name of the topic, and of the group that reads it. */
    readonly topic: string,
  ) {
    this.#sender = openRealProcess(brokers, {}, 'sender');
  }

  async start(): Promise<void> {
    await this.#sender.log.ensure({ name: this.topic, partitions, compacted: false, keepMs: null });
    for (const name of ['a', 'b', 'c']) {
      const process = openRealProcess(this.brokers, {}, name);
      const worker = new Worker(name, this.ledger);
      this.#workers.push({ worker, process });
      await process.log.join(this.topic, this.topic, this.#counting(worker), { sessionMs });
    }
    this.#loads = Array.from({ length: appenders }, (_, who) => this.#load(who));
    await this.goesOn(200);
  }

  async #load(who: number): Promise<void> {
    let n = 0;
    while (this.#running) {
      n++;
      const value = `${who}:${n}`;
      try {
        await this.#sender.log.append(this.topic, [
          { partition: (who + n) % partitions, key: null, value: Buffer.from(value), headers: {} },
        ]);
        this.resolved.push(value);
      } catch (error) {
        if (isBusError(error, 'Unreachable')) this.unknown.push(value);
        else this.refused.push(error);
      }
      await later(2);
    }
  }

  /** Resolves when `count` more records were sent and handled, and every partition has an owner. */
  async goesOn(count: number, withinMs = 120_000): Promise<void> {
    const before = [this.resolved.length, this.ledger.handled.size] as const;
    const what = `${count} more are sent and handled`;
    await until(
      () => this.resolved.length >= before[0] + count && this.ledger.handled.size >= before[1] + count,
      withinMs,
      what,
    );
    const sent = [...this.resolved];
    await until(() => sent.every((value) => this.ledger.handled.has(value)), withinMs, 'all that was sent is handled');
    await until(() => this.ledger.owners.size === partitions, withinMs, 'each partition has an owner');
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#loads);
  }

  /** Stops sending. Returns the resolved records that are not in the log, and the violations of the group. */
  async faults(): Promise<readonly unknown[]> {
    await this.stop();
    const tail = await this.#sender.log.tail(this.topic, 'start');
    const bounds = await this.#sender.log.bounds(this.topic);
    const total = bounds.reduce((sum, { start, end }) => sum + end - start, 0);
    const there: string[] = [];
    while (there.length < total) {
      const some = await tail.read({ messages: 1_000, bytes: 1_000_000 });
      there.push(...some.map(({ value }) => Buffer.from(value ?? []).toString()));
    }
    await tail.close();
    const found = new Set(there);
    const missing = this.resolved.filter((value) => !found.has(value));
    await until(() => there.every((value) => this.ledger.handled.has(value)), 120_000, 'all in the log is handled');
    return [...this.refused, ...missing, ...this.ledger.faults];
  }

  #counting(worker: Worker): Owner {
    return {
      onAssigned: (owned) => {
        owned.lost.addEventListener('abort', () => this.lost++);
        worker.onAssigned(owned);
      },
      onRevoked: (partition) => worker.onRevoked(partition),
    };
  }

  leaderOf(partition: number): Promise<number> {
    return this.#ask(
      async (client) => (await client.metadata([this.topic])).topics[0]?.partitions[partition]?.leader ?? 0,
    );
  }
  coordinator(): Promise<number> {
    return this.#ask((client) => client.findCoordinator(this.topic));
  }
  async #ask(question: (client: BrokerClient) => Promise<number>): Promise<number> {
    const client = openRealClient(this.brokers, 'looker');
    try {
      return await question(client);
    } finally {
      await client.close();
    }
  }

  async close(): Promise<void> {
    await this.stop();
    await Promise.all(this.#workers.map(({ process }) => process.close()));
    await this.#sender.close();
  }
}
