import { conformsToRegistry } from '../conformance/registry';
import { openNeighbourRig } from './rig';

conformsToRegistry('embedded', openNeighbourRig);
