import { conformsToGroups } from '../conformance/groups';
import { openFakeKafkaPorts } from '../support/fake-kafka-ports';

const options = { pauses: true, testMs: 60_000 };
conformsToGroups('kafka on brokers in memory', () => openFakeKafkaPorts(5), options);
conformsToGroups('kafka on slow brokers in memory', () => openFakeKafkaPorts(25), options);
