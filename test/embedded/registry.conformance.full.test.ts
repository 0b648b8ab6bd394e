import { conformsToRegistry } from '../conformance/registry';
import { openNeighbourRig } from '../support/embedded-ports';

conformsToRegistry('embedded', openNeighbourRig);
