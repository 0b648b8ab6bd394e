import { conformsToPost } from '../conformance/messenger';
import { openNeighbourRig } from '../support/embedded-ports';

conformsToPost('embedded', openNeighbourRig);
