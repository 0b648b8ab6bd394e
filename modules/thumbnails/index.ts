/** The process of thumbnails: `node build/modules/thumbnails`. Useful up to one for each CPU. */
import { runModule } from 'busbar/host';
import { Thumbnails } from './thumbnails';

void runModule(Thumbnails);
