/** The verbs of operators on Kafka and ZooKeeper, with the tests that also run on one machine. */
import { kafkaSuite } from '../cluster/suite';
import { besideOthers, shopCommand, type Shop, type ShopCommand } from '../support/command';
import { activityStory } from './activity-story';
import { changeStory } from './change-story';

// Each has its own namespace: the first one leaves handlers that run until their instance ends.
describe.each([
  ['that show what runs', activityStory],
  ['that change what waits', changeStory],
])('%s', (_which, story) => {
  kafkaSuite('the verbs of operators on a cluster', (suite) => {
    let k: ShopCommand;
    let seller: Shop;
    beforeAll(async () => {
      const { brokers, zookeeper } = suite.cluster;
      const servers = { BUSBAR_BROKERS: brokers, BUSBAR_ZOOKEEPER: zookeeper, BUSBAR_NS: suite.namespace };
      k = besideOthers(shopCommand({ BUSBAR_TRANSPORT: 'kafka', ...servers, BUSBAR_SESSION_MS: '6000' }));
      seller = await k.shop();
    });
    afterAll(() => k?.close());

    story(() => ({ k, seller }));
  });
});
