import { conformsToPost } from '../conformance/messenger';
import { openNeighbourRig } from './rig';

conformsToPost('embedded', openNeighbourRig);
