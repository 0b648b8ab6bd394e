/** The log and its groups while servers die or stay silent under load: what was resolved is there, work goes on. */
import { openKafkajs } from '../../src/kafka/client/connection-pool';
import { openHole, type Hole } from '../cluster/hole';
import type { Cluster } from '../cluster/cluster';
import { leadAsPreferredAt, until } from '../cluster/ports';
import { kafkaSuite } from '../cluster/suite';
import { runTool } from '../cluster/tools';
import { livedMs } from '../elapsed';
import { LogScene } from './logscene';
import { openProcess, realTime } from './rig';

/** Each partition is led by its first replica, and each broker has heard of it: the same leaders after each call. */
function leadAsPreferred(cluster: Cluster): Promise<void> {
  const ports = cluster.brokers.split(',').map((place) => Number(place.split(':')[1]));
  return until('each partition is led by its first replica', 120_000, async () => {
    // Each time, since a broker that the machine stopped for three seconds has lost what it leads.
    await runTool(cluster, 'leaders', ['--election-type', 'preferred', '--all-topic-partitions']);
    return (await Promise.all(ports.map(leadAsPreferredAt))).every(Boolean);
  });
}

kafkaSuite(
  'the log on a cluster in trouble',
  (suite) => {
    let scene: LogScene;
    let scenes = 0;
    let hole: Hole | undefined;
    beforeEach(async () => {
      const name = `${suite.namespace}.f${++scenes}.work`;
      scene = new LogScene(suite.cluster.brokers, name, name);
      await scene.start();
    });
    afterEach(async () => {
      await hole?.close();
      hole = undefined;
      await suite.cluster.mend();
      await scene.close();
    });

    test('the leader of a partition is killed: nothing resolved is missing, nothing committed is handled twice', async () => {
      await suite.cluster.broker(await scene.leaderOf(0)).kill();
      await scene.goesOn(300);
      await suite.cluster.mend();
      await scene.goesOn(300);
      expect(await scene.faults()).toEqual([]);
    });

    test('the coordinator of the group is killed, and is it again: members keep working, and what they have', async () => {
      await leadAsPreferred(suite.cluster);
      const node = await scene.coordinator();
      await suite.cluster.broker(node).kill();
      await scene.goesOn(300);
      await suite.cluster.mend();
      await scene.goesOn(300);
      const { lost } = scene;
      await leadAsPreferred(suite.cluster);
      expect(await scene.coordinator()).toBe(node);
      await scene.goesOn(300);
      expect(scene.lost).toBe(lost);
      expect(await scene.faults()).toEqual([]);
    });

    test('the first address that it was told accepts and never answers: it starts with the others', async () => {
      hole = await openHole();
      const brokers = [hole.place, ...suite.cluster.brokers.split(',')];
      const random = { ...realTime.random, next: () => 0 }; // whom it asks first is by chance otherwise
      const late = openProcess('late', openKafkajs({ brokers, clientId: 'late', ...realTime, random }), realTime);
      const started = async (): Promise<void> => expect(await late.log.bounds(scene.topic)).toHaveLength(6);
      expect(await livedMs(started())).toBeLessThan(5_000);
      expect(hole.visitors).toBeGreaterThan(0);
      await late.close();
    });
  },
  { alone: true, tools: true },
);
