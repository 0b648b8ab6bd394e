import { conformsToPost } from '../conformance/post';
import { openMemoryRig } from './rig';

conformsToPost('memory', () => openMemoryRig());
conformsToPost('memory with delays', () => openMemoryRig(1));
