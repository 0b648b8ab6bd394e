import { brokersKnownAt, zookeeperServes } from './ports';
import { kafkaSuite } from './suite';

kafkaSuite('the cluster of the run', (suite) => {
  const portsOf = (list: string): number[] => list.split(',').map((one) => Number(one.split(':')[1]));

  it('has three brokers that know each other, and a ZooKeeper', async () => {
    const known = await Promise.all(portsOf(suite.cluster.brokers).map(brokersKnownAt));
    expect(known).toEqual([3, 3, 3]);
    expect(await zookeeperServes(portsOf(suite.cluster.zookeeper)[0] ?? 0)).toBe(true);
  });
});
