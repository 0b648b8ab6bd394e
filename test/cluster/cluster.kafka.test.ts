import { brokersKnownAt, until, zookeeperServes } from './ports';
import { kafkaSuite } from './suite';

kafkaSuite('the test cluster', (suite) => {
  const portsOf = (list: string): number[] => list.split(',').map((one) => Number(one.split(':')[1]));

  it('has three brokers that list each other, and a ZooKeeper that serves', async () => {
    const knownAt = (): Promise<number[]> => Promise.all(portsOf(suite.cluster.brokers).map(brokersKnownAt));
    const serves = (): Promise<boolean> => zookeeperServes(portsOf(suite.cluster.zookeeper)[0] ?? 0);
    await expect(
      until('each knows three', 60_000, async () => (await knownAt()).join() === '3,3,3'),
    ).resolves.toBeUndefined();
    await expect(until('it serves', 60_000, serves)).resolves.toBeUndefined();
  });
});
