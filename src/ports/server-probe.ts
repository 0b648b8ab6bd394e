/** Port of a server that the start waits for. Implementations: kafka, zookeeper. */
import type { Closable } from '../base/lifecycle';

/** Tries to reach servers, with connections of its own. `close` ends the tries. */
export interface ServerProbe extends Closable {
  /** Name and addresses of the servers, such as `Kafka at 127.0.0.1:9092`. */
  readonly name: string;
  /** Reason why the last try failed. */
  readonly reason: string;
  /** True if a server has responded, so that the bus can be opened although `responds` waits for further ones. */
  readonly suffices: boolean;
  /**
   * Resolves when the servers have responded, or have refused for a reason that no wait repairs. The opening of the bus
   * then reports the refusal. Never rejects.
   */
  responds(): Promise<void>;
}
