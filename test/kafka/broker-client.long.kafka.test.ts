import type { BrokerClient } from '../../src/kafka/client/broker-client';
import { until } from '../cluster/ports';
import { kafkaSuite } from '../cluster/suite';
import { again, leaderOf, makeTopic, openClient, record, refusal, sound, timed } from '../support/kafka-client';

kafkaSuite(
  'the broker client when brokers die and freeze',
  (suite) => {
    let client: BrokerClient;
    let topic: string;
    beforeEach(async () => {
      await suite.cluster.mend();
      client = openClient(suite.cluster.brokers);
      topic = `${suite.namespace}.${Math.round(performance.now())}`;
      await again(30_000, () => makeTopic(client, topic, 1));
    }, 90_000);
    afterEach(() => client.close());

    const write = async (value: string) => {
      const at = await leaderOf(client, topic, 0, 'produce');
      return sound(await client.produce(at, [{ topic, partition: 0, records: [record(value)] }], 3_000));
    };
    const read = async (offset: number) => {
      const at = await leaderOf(client, topic, 0, 'tails');
      const partitions = [{ topic, partition: 0, offset, bytesMax: 100_000 }];
      const [fetched] = sound(await client.fetch(at, { partitions, maxWaitMs: 500, bytesMax: 100_000 }));
      return fetched?.records.map(({ value }) => value?.toString()) ?? [];
    };

    it('finds the new leader when the leader is killed, and reads all acknowledged records', async () => {
      await again(20_000, () => write('before'));
      const { node } = await leaderOf(client, topic, 0, 'produce');
      await suite.cluster.broker(node).kill();
      const lost = await refusal(
        client.heartbeat({ node, channel: 'admin' }, { group: 'g', generation: 1, memberId: 'm' }),
      );
      expect(lost).toMatchObject({ code: 'CONNECTION', uncertain: false });
      await again(30_000, () => write('after'));
      expect((await leaderOf(client, topic, 0, 'produce')).node).not.toBe(node);
      const values = await again(10_000, () => read(0));
      expect([values[0], values.at(-1)]).toEqual(['before', 'after']);
    }, 90_000);

    it('rejects a pending request within 5 s when its broker is killed', async () => {
      const at = await leaderOf(client, topic, 0, 'tails');
      const partitions = [{ topic, partition: 0, offset: 0, bytesMax: 1_000 }];
      await client.fetch(at, { partitions, maxWaitMs: 10, bytesMax: 1_000 });
      const waiting = timed(refusal(client.fetch(at, { partitions, maxWaitMs: 30_000, bytesMax: 1_000 })));
      await suite.cluster.broker(at.node).kill();
      const [error, tookMs] = await waiting;
      expect(error).toMatchObject({ code: 'CONNECTION', retriable: true });
      expect(tookMs).toBeLessThan(5_000);
    }, 60_000);

    it('rejects a request to a frozen broker at its deadline, and finds the new leader', async () => {
      await again(20_000, () => write('before'));
      const at = await leaderOf(client, topic, 0, 'produce');
      await suite.cluster.broker(at.node).freeze();
      const records = [record('into the ice')];
      const [late, tookMs] = await timed(refusal(client.produce(at, [{ topic, partition: 0, records }], 700)));
      expect(late).toMatchObject({ code: 'DEADLINE', uncertain: true });
      expect(tookMs).toBeLessThan(1_500);
      // The kernel accepts a new connection, and the broker never answers.
      const [again2, took2Ms] = await timed(refusal(client.produce(at, [{ topic, partition: 0, records }], 700)));
      expect(again2).toMatchObject({ code: 'DEADLINE', uncertain: false });
      expect(took2Ms).toBeLessThan(1_500);
      await again(30_000, () => write('elsewhere'));
      expect((await leaderOf(client, topic, 0, 'produce')).node).not.toBe(at.node);
      const [, closeMs] = await timed(client.close());
      expect(closeMs).toBeLessThan(500);
    }, 90_000);

    it('finds the brokers after all of them were down', async () => {
      await again(20_000, () => write('before'));
      const all = [1, 2, 3];
      await Promise.all(all.map((id) => suite.cluster.broker(id).kill()));
      const [away, tookMs] = await timed(refusal(client.metadata([topic], 3_000)));
      expect(away).toMatchObject({ code: 'CONNECTION', retriable: true });
      expect(tookMs).toBeLessThan(3_500);
      await suite.cluster.mend();
      let values: readonly (string | undefined)[] = [];
      // A leader returns no record before its replicas have reported their log ends.
      await until('it is shown', 30_000, async () => (values = await again(30_000, () => read(0))).length > 0);
      expect(values).toEqual(['before']);
    }, 120_000);
  },
  { alone: true },
);
