import { conformsToRegistry } from '../conformance/registry';
import { openMemoryRig } from '../support/memory-ports';
import { heavyGroup } from '../heavy';

conformsToRegistry('memory', () => openMemoryRig());
heavyGroup('with delays', () => conformsToRegistry('memory with delays', () => openMemoryRig(1)));
