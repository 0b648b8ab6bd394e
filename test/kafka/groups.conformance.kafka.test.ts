import { conformsToGroups } from '../conformance/groups';
import { kafkaSuite } from '../cluster/suite';
import { openKafkaLogPorts } from '../support/kafka-log-ports';

kafkaSuite('groups on real servers', (suite) => {
  conformsToGroups('kafka', () => openKafkaLogPorts(suite.cluster.brokers), { pauses: true, testMs: 300_000 });
});
