import { conformsToSettings } from '../conformance/settings';
import { openMemoryRig } from './rig';

conformsToSettings('memory', () => openMemoryRig());
conformsToSettings('memory with delays', () => openMemoryRig(1));
