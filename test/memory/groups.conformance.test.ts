import { conformsToGroups } from '../conformance/groups';
import { openMemoryPorts } from '../support/memory-ports';
import { heavyGroup } from '../heavy';

conformsToGroups('memory', () => openMemoryPorts(), { pauses: true });
heavyGroup('with delays', () => conformsToGroups('memory with delays', () => openMemoryPorts(1), { pauses: true }));
