import { conformsToGroups } from '../conformance/groups';
import { openMemoryRig } from '../support/memory-ports';
import { heavyGroup } from '../heavy';

conformsToGroups('memory', () => openMemoryRig(), { pauses: true });
heavyGroup('with delays', () => conformsToGroups('memory with delays', () => openMemoryRig(1), { pauses: true }));
