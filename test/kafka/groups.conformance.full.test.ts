import { conformsToGroups } from '../conformance/groups';
import { openFakeRig } from '../support/fake-kafka-ports';

const options = { pauses: true, testMs: 60_000 };
conformsToGroups('kafka on brokers in memory', () => openFakeRig(5), options);
conformsToGroups('kafka on slow brokers in memory', () => openFakeRig(25), options);
