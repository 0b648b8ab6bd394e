import { conformsToSettings } from '../conformance/settings';
import { openEmbeddedPorts } from '../support/embedded-ports';

conformsToSettings('embedded', openEmbeddedPorts);
