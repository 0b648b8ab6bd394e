/** The causes that `busbar` names, on Kafka and ZooKeeper. */
import { kafkaSuite } from '../cluster/suite';
import { shopCommand, type ShopCommand } from '../support/command';
import { causesStory } from './causes-story';

jest.setTimeout(240_000); // each command is a process, and machines can be busy

kafkaSuite('the causes of problems on a cluster', (suite) => {
  let k: ShopCommand;
  beforeAll(async () => {
    const { brokers, zookeeper } = suite.cluster;
    const servers = { BUSBAR_BROKERS: brokers, BUSBAR_ZOOKEEPER: zookeeper, BUSBAR_NS: suite.namespace };
    k = shopCommand({ BUSBAR_TRANSPORT: 'kafka', ...servers });
    await k.shop({}, 'causes.ts');
  });
  afterAll(() => k?.close());

  causesStory(() => ({ k }));
});
