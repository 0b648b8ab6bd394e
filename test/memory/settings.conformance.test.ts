import { conformsToSettings } from '../conformance/settings';
import { openMemoryPorts } from '../support/memory-ports';
import { heavyGroup } from '../heavy';

conformsToSettings('memory', () => openMemoryPorts());
heavyGroup('with delays', () => conformsToSettings('memory with delays', () => openMemoryPorts(1)));
