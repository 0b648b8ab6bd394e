import { conformsToMessenger } from '../conformance/messenger';
import { kafkaSuite } from '../cluster/suite';
import { openClusterPorts } from '../support/kafka-zookeeper-ports';

kafkaSuite('the messenger on a cluster', (suite) => {
  conformsToMessenger('kafka', () => openClusterPorts(suite.cluster, suite.namespace), { testMs: 300_000 });
});
