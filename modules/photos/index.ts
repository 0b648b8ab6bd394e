/** The process of photos: `node build/modules/photos`. */
import { runModule } from 'busbar/host';
import { Photos } from './photos';

void runModule(Photos);
