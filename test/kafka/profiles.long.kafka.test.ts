/** One round of each fault under light traffic with Kafka's default timeouts, and under load with short ones. */
import { faults } from './faultrounds';
import { roundsOf } from './profiles';

const all = Object.keys(faults) as (keyof typeof faults)[]; // its keys
roundsOf('light', all);
roundsOf('load', all);
