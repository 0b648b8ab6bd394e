/** The process of one web instance: `PORT=3000 node build/modules/web`. */
import { runModule } from 'busbar/host';
import { Web } from './web';

void runModule(Web);
