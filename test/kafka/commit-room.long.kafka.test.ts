import { systemClock } from '../../src/base/clock';
import { openNotices } from '../../src/base/notices';
import { openScopes } from '../../src/delivery/context';
import type { Run } from '../../src/delivery/deliver';
import { incarnation } from '../../src/format/id';
import { openSender } from '../../src/work/submit';
import { consumeQueue } from '../../src/work/queue/consumer';
import { type Cluster, startCluster } from '../cluster/cluster';
import { until } from '../cluster/ports';
import { kafkaSuite } from '../cluster/suite';
import { group, loose, parked, topic } from '../support/work-queue';
import { openRealProcess, realTime, type KafkaProcess } from '../support/kafka-log-ports';

const { resize } = loose();

kafkaSuite(
  'brokers that accept 128 bytes of commit metadata',
  () => {
    let cluster: Cluster;
    let one: KafkaProcess;
    beforeAll(async () => {
      cluster = await startCluster({ brokers: 1, settings: { 'offset.metadata.max.bytes': '128' } });
      one = openRealProcess(cluster.brokers, { replicas: 1 });
    }, 240_000);
    afterAll(async () => {
      await one.close();
      await cluster.close();
    }, 60_000);

    test('all jobs are handled and committed, and the limit is reported with its setting', async () => {
      const { log, heard } = one;
      const parts = { ...realTime, notices: openNotices(), scopes: openScopes(), log };
      let handled = 0;
      // The engine passes on what the schema returned, and this test submits jobs and nothing else.
      const entries = new Map([[resize.name, { entry: resize, run: (() => void handled++) as Run }]]);
      const taken = await consumeQueue(
        { ...parts, middleware: [], self: { module: 'photos', instance: 'photos#1' }, version: '1' },
        { name: 'photos.work', topic, group, parkedTopic: parked, entries, other: 'hold' },
      );
      const self = { module: 'web', instance: 'web#1' };
      const life = (): string => incarnation(realTime.random);
      // Each sender takes room in the commit, which then needs more than 128 bytes.
      const submitOne = async (n: number): Promise<unknown> =>
        openSender({ ...parts, self, ns: 't', incarnation: life(), reached: 'broker' }).send(resize, [{ n }]);
      await Promise.all(Array.from({ length: 600 }, (_, n) => submitOne(n)));
      const committed = async (): Promise<number> =>
        (await log.committedOffsets(group, topic.name)).reduce((sum, { offset }) => sum + offset, 0);
      await until('all is handled and committed', 60_000, async () => handled === 600 && (await committed()) === 600);
      const startedMs = systemClock.mono();
      await taken.close();
      expect(systemClock.mono() - startedMs).toBeLessThan(5_000);
      expect(log.stateBytesMax).toBeLessThanOrEqual(96);
      expect(heard.filter((notice) => notice.type === 'state' && notice.part === 'commit size')).toEqual([
        expect.objectContaining({ ok: false, ready: true, reason: expect.stringContaining('Set offset.metadata') }),
      ]);
    }, 120_000);
  },
  { tools: true },
);
