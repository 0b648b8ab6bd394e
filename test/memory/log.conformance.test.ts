import { conformsToLog } from '../conformance/log';
import { openMemoryRig } from './rig';

conformsToLog('memory', () => openMemoryRig());
conformsToLog('memory with delays', () => openMemoryRig(1));
