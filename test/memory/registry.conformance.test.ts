import { conformsToRegistry } from '../conformance/registry';
import { openMemoryRig } from './rig';

conformsToRegistry('memory', () => openMemoryRig());
conformsToRegistry('memory with delays', () => openMemoryRig(1));
