/** A short form of the rounds of faults: the coordinator is killed under light traffic with Kafka's default time-outs. */
import { roundsOf } from './profiles';

roundsOf('light', ['coordinator']);
