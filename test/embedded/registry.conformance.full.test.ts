import { conformsToRegistry } from '../conformance/registry';
import { openEmbeddedPorts } from '../support/embedded-ports';

conformsToRegistry('embedded', openEmbeddedPorts);
