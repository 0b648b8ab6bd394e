import { conformsToRegistry } from '../conformance/registry';
import { openMemoryPorts } from '../support/memory-ports';
import { heavyGroup } from '../heavy';

conformsToRegistry('memory', () => openMemoryPorts());
heavyGroup('with delays', () => conformsToRegistry('memory with delays', () => openMemoryPorts(1)));
