import { conformsToSettings } from '../conformance/settings';
import { openNeighbourRig } from '../support/embedded-ports';

conformsToSettings('embedded', openNeighbourRig);
