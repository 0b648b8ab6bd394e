import { conformsToMessenger } from '../conformance/messenger';
import { openMemoryPorts } from '../support/memory-ports';
import { heavyGroup } from '../heavy';

conformsToMessenger('memory', () => openMemoryPorts());
heavyGroup('with delays', () => conformsToMessenger('memory with delays', () => openMemoryPorts(1)));
