/** Who is alive. Makers: embedded, memory, zookeeper. */
import type { Closable } from '../base/lifecycle';

export interface Instance {
  /** `module#xxxx`, unique among the living. */
  readonly name: string;
  readonly module: string;
  readonly address: string;
  /** One life of the process: never the same twice, also when name and address are. */
  readonly incarnation: string;
  readonly host: string;
  readonly pid: number;
  readonly sinceMs: number;
  /** The module's own version, for people. */
  readonly version: string;
  /** Contracts it serves, with their fingerprints. */
  readonly serves: Readonly<Record<string, string>>;
  /** A leaving instance answers what it has, and takes nothing new. */
  readonly leaving: boolean;
}

export interface Registry extends Closable {
  /**
   * Makes this instance known, or changes what is known of it. Resolves when others can see it. Closing withdraws it.
   */
  announce(instance: Instance): Promise<void>;
  /** Takes the announcement back; resolves when others can see that. */
  withdraw(): Promise<void>;
  /** Calls `see` with all living instances that serve `contract`: once before it resolves, then after each change. */
  watch(contract: string, see: (instances: readonly Instance[]) => void): Promise<Closable>;
  /** All that are alive now. */
  all(): Promise<readonly Instance[]>;
  /** The one of this name that is alive now, if there is one. */
  find(name: string): Promise<Instance | undefined>;
}
