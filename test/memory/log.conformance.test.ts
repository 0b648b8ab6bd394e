import { conformsToLog } from '../conformance/log';
import { openMemoryPorts } from '../support/memory-ports';
import { heavyGroup } from '../heavy';

conformsToLog('memory', () => openMemoryPorts());
heavyGroup('with delays', () => conformsToLog('memory with delays', () => openMemoryPorts(1)));
