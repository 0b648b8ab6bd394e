import { conformsToRegistry } from '../conformance/registry';
import { openMemoryRig } from './rig';
import { heavyGroup } from '../heavy';

conformsToRegistry('memory', () => openMemoryRig());
heavyGroup('with delays', () => conformsToRegistry('memory with delays', () => openMemoryRig(1)));
