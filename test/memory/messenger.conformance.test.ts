import { conformsToPost } from '../conformance/messenger';
import { openMemoryRig } from '../support/memory-ports';
import { heavyGroup } from '../heavy';

conformsToPost('memory', () => openMemoryRig());
heavyGroup('with delays', () => conformsToPost('memory with delays', () => openMemoryRig(1)));
