/**
 * Measures the lowest cost of requests over Kafka with kafkajs: one partition for each direction, fetched without a
 * group, and batched sends; no types, no checks, no deadlines, no envelope.
 */
import net from 'node:net';
import { Kafka, logLevel, Partitioners, type Message } from 'kafkajs';
import RequestQueue from 'kafkajs/src/network/requestQueue';
import { bytes, makeTopic } from './kafkajs';
import type { Subject } from './measure';
import { ownCpuUs, startChild } from './processes';

const topic = `${process.env['BUSBAR_NS']}.prototype-inbox`;
const [toCaller, toResponder] = [0, 1];
const together = 500;
const flightsMax = 2;

/** Stops a kafkajs connection from waking up every millisecond while no request waits. */
const schedule = RequestQueue.prototype.scheduleCheckPendingRequests;
RequestQueue.prototype.scheduleCheckPendingRequests = function (): void {
  if (this.pending.length > 0) schedule.call(this);
};

function open(): Kafka {
  const brokers = (process.env['BUSBAR_BROKERS'] ?? '').split(',');
  return new Kafka({
    brokers,
    logLevel: logLevel.ERROR,
    socketFactory: ({ host, port, onConnect }) => net.connect({ host, port, noDelay: true }, onConnect),
  });
}

type Send = (partition: number, value: Buffer, id: string) => void;

async function openSend(): Promise<Send> {
  const producer = open().producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  let waiting: Message[] = [];
  let flights = 0;
  let planned = false;
  function flush(): void {
    planned = false;
    while (waiting.length > 0 && flights < flightsMax) {
      const messages = waiting.splice(0, together);
      flights++;
      producer.send({ topic, acks: -1, messages }).then(
        () => {
          flights--;
          flush();
        },
        (error: unknown) => {
          throw error;
        },
      );
    }
  }
  return (partition, value, id) => {
    waiting.push({ partition, value, headers: { id } });
    if (planned || flights >= flightsMax) return;
    planned = true;
    setImmediate(flush);
  };
}

interface Answers {
  readonly responses: readonly { readonly partitions: readonly { readonly messages: readonly Fetched[] }[] }[];
}
interface Fetched {
  readonly offset: string;
  readonly value: Buffer;
  readonly headers: { readonly id: Buffer };
}
/** Internals of kafkajs that the prototype uses. */
interface Cluster {
  connect(): Promise<void>;
  addMultipleTargetTopics(topics: string[]): Promise<void>;
  fetchTopicsOffset(asked: object[]): Promise<[{ partitions: [{ offset: string }] }]>;
  findLeaderForPartitions(topic: string, partitions: number[]): Record<string, number[]>;
  findBroker(which: { nodeId: string | undefined }): Promise<{ fetch(asked: object): Promise<Answers> }>;
}

async function tail(partition: number, take: (one: Fetched) => void): Promise<void> {
  const kafka = open();
  const hidden = Object.getOwnPropertySymbols(kafka).find((symbol) => String(symbol).includes('createCluster'));
  // The type of Kafka does not declare this method.
  const make = Reflect.get(kafka, hidden ?? '') as (options: object) => Cluster;
  const cluster = make({ metadataMaxAge: 300_000, isolationLevel: 1, allowAutoTopicCreation: false });
  await cluster.connect();
  await cluster.addMultipleTargetTopics([topic]);
  const asked = [{ topic, partitions: [{ partition }], fromBeginning: false }];
  const [{ partitions }] = await cluster.fetchTopicsOffset(asked);
  const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]));
  const broker = await cluster.findBroker({ nodeId });
  void follow(broker, partition, BigInt(partitions[0].offset), take);
}

async function follow(
  broker: { fetch(asked: object): Promise<Answers> },
  partition: number,
  from: bigint,
  take: (one: Fetched) => void,
): Promise<void> {
  for (let next = from; ;) {
    const spot = { partition, fetchOffset: String(next), maxBytes: 2 ** 20 };
    const topics = [{ topic, partitions: [spot] }];
    const { responses } = await broker.fetch({ maxWaitTime: 500, minBytes: 1, maxBytes: 10 * 2 ** 20, topics });
    for (const one of responses[0]?.partitions[0]?.messages ?? []) {
      if (BigInt(one.offset) < next) continue; // kafkajs returns whole batches
      take(one);
      next = BigInt(one.offset) + 1n;
    }
  }
}

export async function serveEchoes(): Promise<void> {
  const send = await openSend();
  await tail(toResponder, ({ value, headers }) => send(toCaller, value, headers.id.toString()));
}

export async function prototypeRequests(): Promise<Subject> {
  await makeTopic(topic, 8);
  const child = await startChild('prototype', '');
  const send = await openSend();
  const open = new Map<string, () => void>();
  await tail(toCaller, ({ value, headers }) => {
    const id = headers.id.toString();
    if (value.length !== bytes.length) throw new Error('a wrong reply');
    open.get(id)?.();
    open.delete(id);
  });
  let number = 0;
  return {
    name: 'kafka-prototype',
    call: () =>
      new Promise((resolve) => {
        const id = `c${number++}`;
        open.set(id, resolve);
        send(toResponder, bytes, id);
      }),
    cpuUs: async () => ownCpuUs() + Number(await child.ask('cpu')),
    close: () => child.close(),
  };
}
