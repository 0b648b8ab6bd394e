/** The process of thumbnails: `node build/modules/thumbnails`. As many as there are processors are useful. */
import { runModule } from 'busbar/host';
import { Thumbnails } from './thumbnails';

void runModule(Thumbnails);
