/** Jobs between processes while the leader of their partitions is killed: none is lost, and no settled one repeated. */
import { kafkaSuite } from '../cluster/suite';
import type { Scene } from '../bus/processes';
import { eachJobScene } from '../support/cluster-scenes';
import type { Jobs } from './jobs';
import { openRealClient } from '../support/kafka-log-ports';

kafkaSuite(
  'work on a cluster with faults',
  (suite) => {
    let scene: Scene;
    let jobs: Jobs;
    eachJobScene(suite, 10_000, (...opened) => ([scene, jobs] = opened));

    test('a killed partition leader loses no accepted job and repeats no settled one', async () => {
      await Promise.all([scene.start(), scene.start()]);
      jobs.start(await scene.open('web'));
      await jobs.goesOn(200, 60_000);
      const client = openRealClient(suite.cluster.brokers, 'looker');
      const { topics } = await client.metadata([jobs.topic]);
      await client.close();
      await suite.cluster.broker(topics[0]?.partitions[0]?.leader ?? 0).kill();
      await jobs.goesOn(500, 90_000);
      await suite.cluster.mend();
      await jobs.goesOn(500, 90_000);
      expect(await jobs.audit()).toEqual([]);
    });
  },
  { alone: true },
);
