/** Waits for the first response of a broker, at the start of a bus. */
import { sleep, type Clock, type Random } from '../../base/clock';
import { closable } from '../../base/lifecycle';
import type { ServerProbe } from '../../ports/server-probe';
import { openKafkajs } from '../client/connection-pool';
import type { Security } from '../client/security';
import { KafkaError } from '../protocol/errors';

/** Pause between two tries. It is short, so that a module starts soon after its servers. */
const retryMs = 500;
/** Limit of one try over all brokers: a server can accept a connection and never respond. */
const requestMs = 3_000;

export interface BrokerProbeParts {
  /** `host:port` of some brokers. */
  readonly brokers: readonly string[];
  /** Client id in the logs of the brokers. */
  readonly clientId: string;
  readonly security: Security;
  readonly clock: Clock;
  readonly random: Random;
}

/** Requests metadata until a broker returns it. A port that accepts connections is no proof of a running broker. */
export function probeBrokers({ brokers, clientId, security, clock, random }: BrokerProbeParts): ServerProbe {
  const client = openKafkajs({ brokers, clientId, security, clock, random, requestMs });
  const closed = new AbortController();
  let reason = 'no response yet';
  return {
    name: `Kafka at ${brokers.join(',')}`,
    get reason() {
      return reason;
    },
    async responds() {
      while (!closed.signal.aborted) {
        try {
          if ((await client.metadata([])).nodes.length > 0) return;
          reason = 'the cluster has no running broker yet';
        } catch (error) {
          if (!(error instanceof KafkaError) || error.fatal) return; // such as a wrong password
          reason = error.message;
        }
        await sleep(clock, retryMs, closed.signal);
      }
    },
    ...closable(async () => {
      closed.abort();
      await client.close();
    }),
  };
}
