/** A group whose committed offset does not fit its topic: the topic was recreated, or a tool has set the offset. */
import { kafkaSuite } from '../cluster/suite';
import type { BrokerClient } from '../../src/kafka/client/broker-client';
import { partitionOf } from '../../src/format/partition';
import { foreignClients, type ForeignClients } from '../support/foreign-clients';
import { openRealProcess, openRealClient } from '../support/kafka-log-ports';

const packed = (n: number): Buffer => Buffer.from([0x81, 0xa1, 0x6e, n]); // {n}
const numbers = (from: number, to: number): readonly number[] => Array.from({ length: to - from }, (_, i) => from + i);

kafkaSuite('a group whose committed offset does not fit its topic', (suite) => {
  let clients: ForeignClients;
  let client: BrokerClient;
  beforeEach(() => {
    clients = foreignClients(suite);
    client = openRealClient(suite.cluster.brokers, 'tool');
  });
  afterEach(async () => {
    await clients.close();
    await client.close();
  });
  /** Appends jobs of one key to one partition. A kafkajs producer would not find a recreated topic. */
  const produce = async (from: number, to: number): Promise<void> => {
    const process = openRealProcess(suite.cluster.brokers);
    const key = Buffer.from('k');
    const partition = partitionOf(key, 12);
    const records = numbers(from, to).map((n) => ({ partition, key, value: packed(n), headers: {} }));
    await process.log.append(clients.topic, records);
    await process.close();
  };
  const printedSince = (count: number): readonly number[] =>
    clients.printed
      .slice(count)
      .map(({ n }) => n)
      .toSorted((a, b) => a - b);

  test('handles all records of a recreated topic that outgrew the committed offset', async () => {
    await clients.serve();
    await produce(0, 5);
    await clients.until('all were printed', () => clients.printed.length === 5);
    const { controller, topics } = await client.metadata([clients.topic]);
    const at = { node: controller, channel: 'admin' } as const;
    await client.deleteTopics(at, [clients.topic]);
    const isThere = async (): Promise<boolean> => (await client.metadata([clients.topic])).topics[0]?.error === null;
    await clients.until('it is gone', async () => !(await isThere()));
    await clients.until('the instance has learned that', () => clients.heard.some(({ type }) => type === 'state'));
    const made = { name: clients.topic, partitions: topics[0]?.partitions.length ?? 0, replicas: 3, configs: {} };
    await client.createTopics(at, [made]);
    await clients.until('it is there again', isThere);
    await produce(5, 15);
    await clients.until('all were printed', () => clients.printed.length >= 15);
    expect(printedSince(5)).toEqual(numbers(5, 15));
  });

  test('handles waiting jobs and reports an error when its offset was set beyond the end', async () => {
    const stop = await clients.serve();
    await produce(0, 5);
    await clients.until('all were printed', () => clients.printed.length === 5);
    await stop();
    await produce(5, 8);
    const { topics } = await client.metadata([clients.topic]);
    const places = (topics[0]?.partitions ?? []).map(({ partition }) => ({
      topic: clients.topic,
      partition,
      offset: 1_000,
      metadata: '',
    }));
    const node = await client.findCoordinator(clients.topic);
    const answers = await client.offsetCommit(
      { node, channel: 'admin' },
      { group: clients.topic, generation: -1, memberId: '' },
      places,
    );
    expect(answers.every(({ error }) => error === null)).toBe(true);
    await clients.serve();
    await clients.until('what waited was printed', () =>
      [5, 6, 7].every((n) => clients.printed.some((one) => one.n === n)),
    );
    const reports = clients.heard.flatMap((one) => (one.type === 'log' && one.level === 'error' ? [one.message] : []));
    expect(reports.find((message) => message.includes('8 records from 0 up to 8'))).toContain('the group was at 1000');
  });
});
