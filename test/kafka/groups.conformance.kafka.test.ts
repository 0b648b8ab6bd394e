import { conformsToGroups } from '../conformance/groups';
import { kafkaSuite } from '../cluster/suite';
import { openKafkaRig } from './rig';

kafkaSuite('groups on real servers', (suite) => {
  conformsToGroups('kafka', () => openKafkaRig(suite.cluster.brokers), { pauses: true, testMs: 300_000 });
});
