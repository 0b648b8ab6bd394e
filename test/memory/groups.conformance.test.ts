import { conformsToGroups } from '../conformance/groups';
import { openMemoryRig } from './rig';

conformsToGroups('memory', () => openMemoryRig(), { pauses: true });
conformsToGroups('memory with delays', () => openMemoryRig(1), { pauses: true });
