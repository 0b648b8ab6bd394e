import { conformsToGroups } from '../conformance/groups';
import { openLogRig } from '../support/embedded-log';

conformsToGroups('embedded', openLogRig, { pauses: true });
