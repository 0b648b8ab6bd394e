/** Port of a server that the start waits for. Implementations: kafka, zookeeper. */
import type { Closable } from '../base/lifecycle';

/** Tries to reach servers, with connections of its own. `close` ends the tries. */
export interface ServerProbe extends Closable {
  /** Name and addresses of the servers, such as `Kafka at 127.0.0.1:9092`. */
  readonly name: string;
  /** Reason why the last try failed. */
  readonly reason: string;
  /**
   * Resolves when a server has responded, or has refused for a reason that no wait repairs. The opening of the bus then
   * reports the refusal. Never rejects.
   */
  responds(): Promise<void>;
}
