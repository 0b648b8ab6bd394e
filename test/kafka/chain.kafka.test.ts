import { chains } from '../bus/chain';
import { kafkaSuite } from '../cluster/suite';

kafkaSuite('a chain of three modules on Kafka', (suite) => {
  let runs = 0;
  chains(() => {
    const { brokers, zookeeper } = suite.cluster;
    const ns = `${suite.namespace}-${++runs}`;
    return { transport: 'kafka', brokers: brokers.split(','), zookeeper, ns, sessionMs: 10_000 };
  });
});
