import { conformsToSettings } from '../conformance/settings';
import { openMemoryRig } from '../support/memory-ports';
import { heavyGroup } from '../heavy';

conformsToSettings('memory', () => openMemoryRig());
heavyGroup('with delays', () => conformsToSettings('memory with delays', () => openMemoryRig(1)));
