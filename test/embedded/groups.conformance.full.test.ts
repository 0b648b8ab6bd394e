import { conformsToGroups } from '../conformance/groups';
import { openEmbeddedLogs } from '../support/embedded-log';

conformsToGroups('embedded', openEmbeddedLogs, { pauses: true });
