import { conformsToPost } from '../conformance/post';
import { openNeighbourRig } from './rig';

conformsToPost('embedded', openNeighbourRig);
