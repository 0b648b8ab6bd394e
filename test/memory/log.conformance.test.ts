import { conformsToLog } from '../conformance/log';
import { openMemoryRig } from './rig';
import { heavyGroup } from '../heavy';

conformsToLog('memory', () => openMemoryRig());
heavyGroup('with delays', () => conformsToLog('memory with delays', () => openMemoryRig(1)));
