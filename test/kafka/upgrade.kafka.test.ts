import { kafkaSuite } from '../cluster/suite';
import { upgrades } from '../bus/upgrade';

kafkaSuite('a rolling upgrade on Kafka', (suite) => {
  let runs = 0;
  upgrades(() => {
    const { brokers, zookeeper } = suite.cluster;
    const ns = `${suite.namespace}-${++runs}`;
    return { transport: 'kafka', brokers: brokers.split(','), zookeeper, ns, sessionMs: 10_000 };
  });
});
