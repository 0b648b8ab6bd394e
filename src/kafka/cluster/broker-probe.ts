/** Waits for the first response of a broker, at the start of a bus. */
import { sleep, type Clock } from '../../base/clock';
import { closable } from '../../base/lifecycle';
import type { ServerProbe } from '../../ports/server-probe';
import type { BrokerClient } from '../client/broker-client';
import { KafkaError } from '../protocol/errors';

/** Pause between two tries. It is short, so that a module starts soon after its servers. */
const retryMs = 500;
/** Limit of one try over all brokers: a server can accept a connection and never respond. */
const requestMs = 3_000;

/**
 * Maximum time for which a cluster that responds is given to start its other brokers. A topic that is created earlier
 * would have too few replicas for good.
 */
export const startingMsMax = 10_000;

export interface BrokerProbeParts {
  /** `host:port` of some brokers. */
  readonly brokers: readonly string[];
  /** Replication factor of new topics. */
  readonly replicas: number;
  /** Is closed with the probe. */
  readonly client: Pick<BrokerClient, 'metadata' | 'close'>;
  readonly clock: Clock;
}

/**
 * Requests metadata until a broker returns it, with as many brokers as `replicas`, or until 10 s after the first one. A
 * port that accepts connections is no proof of a running broker.
 */
export function probeBrokers({ brokers, replicas, client, clock }: BrokerProbeParts): ServerProbe {
  const closed = new AbortController();
  let reason = 'no response yet';
  let firstMs: number | undefined;
  return {
    name: `Kafka at ${brokers.join(',')}`,
    get reason() {
      return reason;
    },
    get suffices() {
      return firstMs !== undefined;
    },
    async responds() {
      while (!closed.signal.aborted) {
        try {
          const { length } = (await client.metadata([], requestMs)).nodes;
          if (length > 0) firstMs ??= clock.mono();
          if (length >= replicas || (firstMs !== undefined && clock.mono() - firstMs >= startingMsMax)) return;
          reason = `${length} of ${replicas} brokers are running`;
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
