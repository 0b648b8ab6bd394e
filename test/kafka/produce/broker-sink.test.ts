import type { ClusterMetadata } from '../../../src/kafka/cluster/metadata';
import { BrokerSink, type BrokerSinkParts } from '../../../src/kafka/produce/broker-sink';
import { PartitionQueue, type Batch } from '../../../src/kafka/produce/partition-queue';
import { KafkaError } from '../../../src/kafka/protocol/errors';
import type { Batch as Sent, Produced } from '../../../src/kafka/protocol/types';
import { virtualClock } from '../../../src/memory/clock';

const clock = virtualClock();
const record = { key: null, value: new Uint8Array(1), headers: {} };
const batch = (partition: number): Batch => {
  // The sink does not read the call of an item.
  const item = { record: { ...record, partition }, bytes: 1, index: 0, call: undefined as never };
  return { items: [item], bytes: 1, tries: 0, uncertain: false, firstSent: undefined, failure: '' };
};

/** Opens a sink of broker 1, whose requests end when the test ends them. */
function open(leaders: Record<number, number> = {}) {
  const requests: { partitions: number[]; end: (error?: KafkaError) => void }[] = [];
  const told: string[] = [];
  const produce = (_: unknown, sent: readonly Sent[]): Promise<readonly Produced[]> =>
    new Promise((resolve, reject) => {
      const rest = { error: null, offset: 7, timeMs: null, refused: [] };
      const answers = sent.map(({ topic, partition }) => ({ topic, partition, ...rest }));
      const end = (error?: KafkaError): void => (error ? reject(error) : resolve(answers));
      requests.push({ partitions: sent.map(({ partition }) => partition), end });
    });
  const leader = ({ partition }: { partition: number }): number => leaders[partition] ?? 1;
  const view = { leader, refresh: () => Promise.resolve(), parts: { client: { produce }, clock } };
  const parts: BrokerSinkParts = {
    metadata: view as unknown as ClusterMetadata, // these are the members that a sink uses
    channel: 'produce',
    next: ({ partition }) => batch(partition),
    offer: ({ partition }) => told.push(`offered ${partition}`),
    offerAgain: ({ partition }) => told.push(`offered again ${partition}`),
    answered: (node, _, { partition }, __, answer) => told.push(`${node}: ${partition} at ${answer?.offset}`),
    failed: (node, _, { partition }, __, error) => told.push(`${node}: ${partition} ${error.code}`),
  };
  return { sink: new BrokerSink(1, parts), requests, told };
}
const queue = (partition: number): PartitionQueue => new PartitionQueue('t', partition);

test('partitions added in one turn share a request, and later ones wait until it ends', async () => {
  const { sink, requests, told } = open();
  sink.add(queue(0));
  sink.add(queue(1));
  await clock.advance(0);
  sink.add(queue(2));
  await clock.advance(0);
  expect(requests.map(({ partitions }) => partitions)).toEqual([[0, 1]]);
  requests[0]?.end();
  await clock.advance(5);
  expect(told).toEqual(['1: 0 at 7', '1: 1 at 7']);
  expect(requests.map(({ partitions }) => partitions)).toEqual([[0, 1], [2]]);
});

test('a partition that another broker now leads is offered to that broker', async () => {
  const { sink, requests, told } = open({ 1: 2 });
  sink.add(queue(0));
  sink.add(queue(1));
  await clock.advance(0);
  expect(told).toEqual(['offered 1']);
  expect(requests.map(({ partitions }) => partitions)).toEqual([[0]]);
});

test('a failed request is reported for each of its partitions', async () => {
  const { sink, requests, told } = open();
  sink.add(queue(0));
  sink.add(queue(1));
  await clock.advance(0);
  requests[0]?.end(new KafkaError('CONNECTION', 'closed'));
  await clock.advance(0);
  expect(told).toEqual(['1: 0 CONNECTION', '1: 1 CONNECTION']);
});

test('a leader change during a request fails its partition, and waiting partitions are offered again', async () => {
  const leaders: Record<number, number> = {};
  const { sink, told } = open(leaders);
  sink.add(queue(0));
  sink.add(queue(1));
  await clock.advance(0);
  sink.add(queue(2));
  leaders[1] = 2;
  await clock.advance(1_000);
  expect(told).toEqual(['1: 1 DEADLINE', 'offered again 2']);
});
