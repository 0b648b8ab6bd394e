/** Measures kafkajs as its documentation uses it: one record a send, and a loop over batches. */
import { Kafka, logLevel, Partitioners } from 'kafkajs';
import { order } from './contract';
import type { Subject } from './measure';
import { ownCpuUs } from './processes';

/** A body as long as that of the order, encoded once, so that encoding is not measured. */
export const bytes = Buffer.from(JSON.stringify(order));
const partitions = 12;

export function openKafka(): Kafka {
  return new Kafka({ brokers: (process.env['BUSBAR_BROKERS'] ?? '').split(','), logLevel: logLevel.ERROR });
}
export async function makeTopic(topic: string, numPartitions = partitions): Promise<void> {
  const admin = openKafka().admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: true });
  await admin.disconnect();
}

/** Submits with `producer.send`: one record a call, acknowledged by all in-sync replicas. */
export async function kafkajsSubmits(): Promise<Subject> {
  const topic = `${process.env['BUSBAR_NS']}.kafkajs-work`;
  await makeTopic(topic);
  const producer = openKafka().producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  let n = 0;
  return {
    name: 'kafkajs',
    async call() {
      await producer.send({ topic, acks: -1, messages: [{ key: `order-${n++ % 1_000}`, value: bytes }] });
    },
    cpuUs: async () => ownCpuUs(),
    close: () => producer.disconnect(),
  };
}

/** Reads a topic from its beginning, batch after batch, and only counts the records. */
export async function consumeAll(
  topic: string,
  groupId: string,
  handled: (count: number) => void,
): Promise<() => Promise<void>> {
  const consumer = openKafka().consumer({ groupId });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({ eachBatch: async ({ batch }) => handled(batch.messages.length) });
  return () => consumer.disconnect();
}
