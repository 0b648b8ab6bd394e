import { conformsToLog } from '../conformance/log';
import { openFakeKafkaPorts } from '../support/fake-kafka-ports';

conformsToLog('kafka on brokers in memory', () => openFakeKafkaPorts(1), { compactsLater: true, pauses: true });
conformsToLog('kafka on slow brokers in memory', () => openFakeKafkaPorts(5), { compactsLater: true, pauses: true });
