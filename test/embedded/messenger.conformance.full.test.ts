import { conformsToMessenger } from '../conformance/messenger';
import { openEmbeddedPorts } from '../support/embedded-ports';

conformsToMessenger('embedded', openEmbeddedPorts);
