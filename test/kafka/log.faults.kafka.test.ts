/** The log and its groups under load while servers die or stop answering: no resolved record is lost. */
import { openKafkajs } from '../../src/kafka/client/connection-pool';
import { openHole, type Hole } from '../cluster/hole';
import type { Cluster } from '../cluster/cluster';
import { leadAsPreferredAt, until } from '../cluster/ports';
import { kafkaSuite } from '../cluster/suite';
import { runTool } from '../cluster/tools';
import { livedMs } from '../elapsed';
import type { LogScene } from '../support/append-ledger';
import { eachLogScene } from '../support/cluster-scenes';
import { openProcess, realTime } from '../support/kafka-log-ports';

/** Moves the leader of each partition to its first replica, and waits until every broker reports it. */
function leadAsPreferred(cluster: Cluster): Promise<void> {
  const ports = cluster.brokers.split(',').map((place) => Number(place.split(':')[1]));
  return until('each partition is led by its first replica', 120_000, async () => {
    // On every attempt, because a broker that the machine paused for three seconds has lost its leaderships.
    await runTool(cluster, 'leaders', ['--election-type', 'preferred', '--all-topic-partitions']);
    return (await Promise.all(ports.map(leadAsPreferredAt))).every(Boolean);
  });
}

kafkaSuite(
  'the log on a cluster with faults',
  (suite) => {
    let scene: LogScene;
    let hole: Hole | undefined;
    afterEach(() => hole?.close());
    eachLogScene(suite, (opened) => (scene = opened));

    test('a killed partition leader loses no resolved record and repeats no committed one', async () => {
      await suite.cluster.broker(await scene.leaderOf(0)).kill();
      await scene.goesOn(300);
      await suite.cluster.mend();
      await scene.goesOn(300);
      expect(await scene.faults()).toEqual([]);
    });

    test('members keep their partitions when a killed coordinator returns to its role', async () => {
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

    test('an instance starts with the other brokers when the first address never answers', async () => {
      hole = await openHole();
      const brokers = [hole.place, ...suite.cluster.brokers.split(',')];
      const random = { ...realTime.random, next: () => 0 }; // otherwise the first broker is random
      const late = openProcess('late', openKafkajs({ brokers, clientId: 'late', ...realTime, random }), realTime);
      const started = async (): Promise<void> => expect(await late.log.bounds(scene.topic)).toHaveLength(6);
      expect(await livedMs(started())).toBeLessThan(5_000);
      expect(hole.visitors).toBeGreaterThan(0);
      await late.close();
    });
  },
  { alone: true, tools: true },
);
