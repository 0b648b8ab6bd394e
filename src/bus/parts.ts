/** What a bus is made of; whoever opens one hands these in. */
import type { Clock, Random } from '../base/clock';
import type { Notices } from '../base/notices';
import type { Peer } from '../delivery/context';
import type { DeliverParts } from '../delivery/deliver';
import type { Middleware } from '../delivery/middleware';
import type { Log } from '../ports/log';
import type { Post } from '../ports/messenger';
import type { Registry } from '../ports/registry';
import type { Settings } from '../ports/settings';
import type { Retained } from '../work/progress/retained';
import type { TakeParts } from '../work/types';
import type { BusLive } from './live';

/** Figures that options decide; each is described where the option is declared. */
export interface Timings {
  readonly drainMs: number;
  readonly commitMs: number;
  readonly sessionMs: number;
  readonly keepMs: number;
  /** An instance that left answers for so long at least: for callers that read the registry just before. */
  readonly lingerMs: number;
  readonly messageBytesMax: number;
  /** Levels of a body. Default: limits.bodyDepthMax. */
  readonly bodyDepthMax?: number | undefined;
}
/** Parts of the work engine that a simulator replaces to plant bugs. */
interface Planted extends Pick<TakeParts, 'makeFilter' | 'makeWatermark' | 'makeUnkept'> {
  readonly makeRetained?: () => Retained;
}
export interface BusParts extends Planted, Pick<DeliverParts, 'calls'> {
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
  readonly log: Log;
  readonly post: Post;
  readonly registry: Registry;
  readonly settings: Settings;
  /** What of the options `settings` change; the bus keeps it up to date. */
  readonly live: BusLive;
  readonly self: Peer;
  readonly ns: string;
  readonly host: string;
  readonly pid: number;
  /** Memory of the process, for operators. */
  rssBytes(): number;
  /** The module's own version, for people. */
  readonly version: string;
  /** What an append to this log means. */
  readonly reached: 'disk' | 'broker';
  readonly middleware: readonly Middleware[];
  readonly timings: Timings;
  /** Closes the ports; the last thing that happens. */
  closePorts(): Promise<void>;
}
