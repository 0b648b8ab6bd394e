import { conformsToGroups } from '../conformance/groups';
import { openMemoryRig } from './rig';
import { heavyGroup } from '../heavy';

conformsToGroups('memory', () => openMemoryRig(), { pauses: true });
heavyGroup('with delays', () => conformsToGroups('memory with delays', () => openMemoryRig(1), { pauses: true }));
