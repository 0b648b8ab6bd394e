import { conformsToLog } from '../conformance/log';
import { openLogRig } from './logrig';

conformsToLog('embedded', openLogRig);
