import { givenCluster } from './cluster';
import { clusterAt, serveCluster, type Served } from './control';

let served: Served;
beforeEach(async () => {
  const given = givenCluster({ KAFKA_BROKERS: '127.0.0.1:9092', ZOOKEEPER: '127.0.0.1:2181' });
  if (given === undefined) throw new Error('it was given');
  served = await serveCluster(() => Promise.resolve(given));
});
afterEach(() => served.close());

test('servers named by KAFKA_BROKERS are passed to every suite, and reject kill and freeze', async () => {
  const cluster = await clusterAt(served.url);
  expect(cluster).toMatchObject({ brokers: '127.0.0.1:9092', zookeeper: '127.0.0.1:2181', isOurs: false });
  await cluster.mend();
  await expect(cluster.broker(1).kill()).rejects.toThrow('given by KAFKA_BROKERS');
  await expect(cluster.zookeeperServer.freeze()).rejects.toThrow('given by KAFKA_BROKERS');
});
