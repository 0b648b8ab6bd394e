/** The second half of all unit tests; see share.ts. */
import { declareShare } from './share';

declareShare(1);
