import { conformsToLog } from '../conformance/log';
import { openFakeRig } from '../support/fake-kafka-ports';

conformsToLog('kafka on brokers in memory', () => openFakeRig(1), { compactsLater: true, pauses: true });
conformsToLog('kafka on slow brokers in memory', () => openFakeRig(5), { compactsLater: true, pauses: true });
