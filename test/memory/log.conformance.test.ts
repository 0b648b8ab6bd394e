import { conformsToLog } from '../conformance/log';
import { openMemoryRig } from '../support/memory-ports';
import { heavyGroup } from '../heavy';

conformsToLog('memory', () => openMemoryRig());
heavyGroup('with delays', () => conformsToLog('memory with delays', () => openMemoryRig(1)));
