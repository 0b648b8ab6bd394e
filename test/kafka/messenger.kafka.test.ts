import { conformsToPost } from '../conformance/messenger';
import { kafkaSuite } from '../cluster/suite';
import { openClusterRig } from '../support/kafka-zookeeper-ports';

kafkaSuite('the messenger on a cluster', (suite) => {
  conformsToPost('kafka', () => openClusterRig(suite.cluster, suite.namespace), { testMs: 300_000 });
});
