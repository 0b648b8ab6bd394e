/** TestPorts of the tests with foreign clients: a press that prints every job, and a foreign producer. */
import { Kafka, logLevel, type Message, type Producer } from 'kafkajs';
import { z } from 'zod';
import { defineModule, openBus, work, type Bus, type Notice } from '../../src/index';
import type { Parked } from '../../src/work/parked/find';
import { findParked } from '../../src/work/parked/find';
import type { KafkaSuite } from '../cluster/suite';
import { openRealProcess } from './kafka-log-ports';

export const press = defineModule('press', {
  print: work(z.object({ n: z.number() }), { key: ({ n }) => `${n}`, backoffMs: 50 }),
});

export interface Printed {
  readonly n: number;
  readonly id: string;
  readonly from: string;
}
export interface ForeignClients {
  readonly ns: string;
  readonly topic: string;
  /** Instances that serve or have served. */
  readonly instances: readonly string[];
  readonly printed: readonly Printed[];
  readonly heard: readonly Notice[];
  /** Opens an instance that prints each job when `hold` has resolved. The returned function closes it. */
  serve(hold?: () => Promise<void>): Promise<() => Promise<void>>;
  /** Opens another instance, which serves nothing yet. */
  openBus(): Promise<Bus>;
  produce(...messages: Message[]): Promise<void>;
  producer(): Promise<Producer>;
  parked(): Promise<readonly Parked[]>;
  until(what: string, done: () => boolean | Promise<boolean>, withinMs?: number): Promise<void>;
  close(): Promise<void>;
}

let opened = 0;

async function until(what: string, done: () => boolean | Promise<boolean>, withinMs = 60_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await done())) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export function foreignClients(suite: KafkaSuite): ForeignClients {
  const ns = `${suite.namespace}-f${++opened}`;
  const { brokers, zookeeper } = suite.cluster;
  const topic = `${ns}.press.work`;
  const instances: string[] = [];
  const printed: Printed[] = [];
  const heard: Notice[] = [];
  const closing: (() => Promise<unknown>)[] = [];
  let producing: Promise<Producer> | undefined;

  async function openPress(): Promise<Bus> {
    const given = { transport: 'kafka', brokers: brokers.split(','), zookeeper, ns, sessionMs: 10_000 } as const;
    const bus = await openBus({ log: false, module: press, ...given });
    closing.push(() => bus.close());
    bus.watch((notice) => void heard.push(notice));
    return bus;
  }
  async function connected(): Promise<Producer> {
    const client = new Kafka({ brokers: brokers.split(','), clientId: 'foreign', logLevel: logLevel.NOTHING });
    const producer = client.producer({ retry: { retries: 0 } });
    await producer.connect();
    // The producer requests the topic from any broker, which may not list it yet, and does not retry.
    await until(`${topic} is known`, () => producer.send({ topic, messages: [] }).then(Boolean, () => false));
    closing.push(() => producer.disconnect());
    return producer;
  }
  const producer = (): Promise<Producer> => (producing ??= connected());

  return {
    ns,
    topic,
    instances,
    printed,
    heard,
    openBus: openPress,
    producer,
    async serve(hold) {
      const bus = await openPress();
      instances.push(bus.self.instance);
      const print = async ({ n }: { n: number }, { id, from }: { id: string; from: { instance: string } }) => {
        await hold?.();
        printed.push({ n, id, from: from.instance });
      };
      await bus.serve(press, { print });
      return () => bus.close();
    },
    async produce(...messages) {
      await (await producer()).send({ topic, messages });
    },
    async parked() {
      const look = openRealProcess(brokers);
      return findParked(look.log, `${ns}.press.parked`).finally(() => look.close());
    },
    until,
    async close() {
      for (const close of closing.toReversed()) await close();
    },
  };
}
