/** A short form of the fault rounds: the coordinator is killed under light traffic with Kafka's default timeouts. */
import { roundsOf } from './profiles';

roundsOf('light', ['coordinator']);
