import { conformsToGroups } from '../conformance/groups';
import { openLogRig } from './logrig';

conformsToGroups('embedded', openLogRig, { pauses: true });
