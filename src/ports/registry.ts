/** Port of the registry of live instances. Implementations: embedded, memory, zookeeper. */
import type { Closable } from '../base/lifecycle';

/** An announced instance of a module. */
export interface Instance {
  /** Name of the form `module#xxxx`, unique among live instances. */
  readonly name: string;
  readonly module: string;
  /** Address at which {@link Messenger} reaches it. */
  readonly address: string;
  /** Identifier of one run of the process. It is never reused, even when name and address are. */
  readonly incarnation: string;
  readonly host: string;
  readonly pid: number;
  /** When the instance started, in ms since 1970. */
  readonly sinceMs: number;
  /** The module's own version, for display only. */
  readonly version: string;
  /** Contracts that it serves: fingerprint by module name. */
  readonly serves: Readonly<Record<string, string>>;
  /** True while it is closing. It then finishes the requests that it has, and accepts no new ones. */
  readonly leaving: boolean;
}

const fieldTypes: Readonly<Record<keyof Instance, string>> = {
  name: 'string',
  module: 'string',
  address: 'string',
  incarnation: 'string',
  host: 'string',
  pid: 'number',
  sinceMs: 'number',
  version: 'string',
  serves: 'object',
  leaving: 'boolean',
};

/** Returns whether the value has the shape of an announcement. Any process can write to where they are stored. */
export function isInstance(value: unknown): value is Instance {
  if (typeof value !== 'object' || value === null) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  const serves = fields.get('serves');
  if (!Object.entries(fieldTypes).every(([field, type]) => typeof fields.get(field) === type) || !serves) return false;
  const numbers = [fields.get('pid'), fields.get('sinceMs')];
  return numbers.every(Number.isFinite) && Object.values(serves).every((print) => typeof print === 'string');
}

/** Registry of live instances. */
export interface Registry extends Closable {
  /**
   * Announces this instance, or replaces its announcement. Resolves when other instances can see it. Closing the
   * registry withdraws it.
   */
  announce(instance: Instance): Promise<void>;
  /** Withdraws the announcement. Resolves when other instances can see that. */
  withdraw(): Promise<void>;
  /**
   * Calls `see` with all live instances that serve `contract`: once before it resolves, and after each change until the
   * result is closed.
   */
  watch(contract: string, see: (instances: readonly Instance[]) => void): Promise<Closable>;
  /** Returns every instance that is alive at the moment. */
  all(): Promise<readonly Instance[]>;
  /** Returns the live instance of this name, or undefined if there is none. */
  find(name: string): Promise<Instance | undefined>;
}
