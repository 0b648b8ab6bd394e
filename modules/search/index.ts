/** The process of search: `node build/modules/search`. */
import { runModule } from 'busbar/host';
import { Search } from './search';

void runModule(Search);
