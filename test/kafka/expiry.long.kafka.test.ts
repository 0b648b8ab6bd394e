import { Kafka, logLevel } from 'kafkajs';
import { type Cluster, startCluster } from '../cluster/cluster';
import { until } from '../cluster/ports';
import { kafkaSuite } from '../cluster/suite';
import { commitAt, Holder } from '../support/fake-kafka-log';
import { openRealProcess, type KafkaProcess } from '../support/kafka-log-ports';

const topic = { name: 'a.b.work', partitions: 2, compacted: false, keepMs: null };

kafkaSuite(
  'brokers with a short retention of committed offsets',
  () => {
    let cluster: Cluster;
    let one: KafkaProcess;
    beforeAll(async () => {
      const settings = { 'offsets.retention.minutes': '1', 'offsets.retention.check.interval.ms': '1000' };
      cluster = await startCluster({ brokers: 1, settings });
      one = openRealProcess(cluster.brokers, { replicas: 1 });
    }, 240_000);
    afterAll(async () => {
      await one.close();
      await cluster.close();
    }, 60_000);

    test('keep the offsets of queues and named listeners longer than those of other groups', async () => {
      const { log } = one;
      await log.ensure(topic);
      const places = async (group: string) => {
        return (await log.committedOffsets(group, topic.name)).map(({ partition, offset }) => [partition, offset]);
      };
      await log.startGroup('listener', topic.name, 'end');
      const holder = new Holder();
      const member = await log.join('queue', topic.name, holder);
      for (const owned of holder.ever) await owned.commit(commitAt(0));
      await member.close();
      // Last, so that its offset expires last.
      const kafka = new Kafka({ brokers: [cluster.brokers], logLevel: logLevel.NOTHING });
      const admin = kafka.admin();
      await admin.connect();
      await admin.setOffsets({ groupId: 'others', topic: topic.name, partitions: [{ partition: 0, offset: '0' }] });
      await admin.disconnect();
      expect(await places('others')).toEqual([[0, 0]]);
      await until('the place of others is forgotten', 180_000, async () => (await places('others')).length === 0);
      const all = [0, 1].map((partition) => [partition, 0]);
      expect([await places('listener'), await places('queue')]).toEqual([all, all]);
    }, 240_000);
  },
  { tools: true },
);
