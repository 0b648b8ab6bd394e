import { conformsToSettings } from '../conformance/settings';
import { openNeighbourRig } from './rig';

conformsToSettings('embedded', openNeighbourRig);
