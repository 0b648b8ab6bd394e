import { conformsToLog } from '../conformance/log';
import { kafkaSuite } from '../cluster/suite';
import { openKafkaLogPorts } from '../support/kafka-log-ports';

kafkaSuite('the log on real servers', (suite) => {
  conformsToLog('kafka', () => openKafkaLogPorts(suite.cluster.brokers), { compactsLater: true, testMs: 300_000 });
});
