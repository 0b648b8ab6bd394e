import { conformsToGroups } from '../conformance/groups';
import { kafkaSuite } from '../cluster/suite';
import { openKafkaRig } from '../support/kafka-log-ports';

kafkaSuite('groups on real servers', (suite) => {
  conformsToGroups('kafka', () => openKafkaRig(suite.cluster.brokers), { pauses: true, testMs: 300_000 });
});
