/** Dependencies of a bus. The code that opens a bus passes them in. */
import type { Clock, Random } from '../base/clock';
import type { Notices } from '../base/notices';
import type { Peer } from '../delivery/context';
import type { DeliverParts } from '../delivery/deliver';
import type { Middleware } from '../delivery/middleware';
import type { Log } from '../ports/log';
import type { Outbox } from '../ports/outbox';
import type { Messenger } from '../ports/messenger';
import type { Registry } from '../ports/registry';
import type { Settings } from '../ports/settings';
import type { Retained } from '../work/progress/retained';
import type { ConsumerParts } from '../work/types';
import type { BusLive } from './live';

/** Values of options; each is described at the declaration of its option. */
export interface Timings {
  readonly drainMs: number;
  readonly commitMs: number;
  readonly sessionMs: number;
  readonly keepMs: number;
  /**
   * Minimum time for which an instance answers after it announced its leaving, in ms. Callers that read the registry
   * just before still send requests.
   */
  readonly lingerMs: number;
  readonly messageBytesMax: number;
  /**
   * Maximum nesting depth of a body.
   *
   * @default limits.bodyDepthMax
   */
  readonly bodyDepthMax?: number | undefined;
}
/** Parts of the work engine that a simulator replaces to plant bugs. */
interface Planted extends Pick<ConsumerParts, 'makeFilter' | 'makeIdWindow' | 'makeWatermark' | 'makeUnkept'> {
  readonly makeRetained?: () => Retained;
}
/** Dependencies of {@link buildBus}. */
export interface BusParts extends Planted, Pick<DeliverParts, 'calls' | 'tracing'> {
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
  readonly log: Log;
  readonly messenger: Messenger;
  readonly registry: Registry;
  readonly settings: Settings;
  /** Live options. The bus passes every change of `settings` to it. */
  readonly live: BusLive;
  readonly self: Peer;
  readonly ns: string;
  readonly host: string;
  readonly pid: number;
  /** Returns the memory of the process in bytes, for the status of the instance. */
  rssBytes(): number;
  /** The module's own version, for display only. */
  readonly version: string;
  /** Durability that an append to this log has reached when it resolves. */
  readonly reached: 'disk' | 'broker';
  /** Spool through which work and events are sent. Default: they are appended to the log. */
  readonly spool?: Outbox | undefined;
  readonly middleware: readonly Middleware[];
  readonly timings: Timings;
  /** Closes the ports, after every part of the bus was closed. */
  closePorts(): Promise<void>;
}
