import { conformsToSettings } from '../conformance/settings';
import { openMemoryRig } from './rig';
import { heavyGroup } from '../heavy';

conformsToSettings('memory', () => openMemoryRig());
heavyGroup('taking its time', () => conformsToSettings('memory with delays', () => openMemoryRig(1)));
