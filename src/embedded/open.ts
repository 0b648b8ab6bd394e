/** Opens all that one bus needs between the processes of one machine, in one shared directory. */
import type { Clock, Random } from '../base/clock';
import { BusError, sayError } from '../base/errors';
import { closable, runAll, teardown, type Closable, type Step } from '../base/lifecycle';
import type { Notices } from '../base/notices';
import type { Log } from '../ports/log';
import type { Post } from '../ports/messenger';
import type { Registry } from '../ports/registry';
import type { Settings } from '../ports/settings';
import { openDirectory, refuse } from './directory/directory';
import { newAddress } from './directory/process-liveness';
import { openEmbeddedLog } from './log';
import { openPost } from './messenger';
import { openRegistry } from './registry';
import { openRings } from './sockets/doorbells';
import { openSettings } from './settings';
import { openSockets } from './sockets/sockets';
import { sweep } from './sockets/cleanup';
import { Upkeep } from './directory/upkeep';

export interface EmbeddedOptions {
  /** The directory shared by all processes; default `$XDG_STATE_HOME/busbar/<ns>` or `~/.local/state/busbar/<ns>`. */
  readonly dir?: string;
  readonly ns: string;
  /** Name of this instance, for messages of others that name who holds something. */
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
}

export interface Embedded extends Closable {
  readonly log: Log;
  readonly post: Post;
  readonly registry: Registry;
  readonly settings: Settings;
}

/**
 * Opens the directory, and in it all ports of one bus. Rejects with Config when the directory must not be used (see
 * {@link openDirectory}) or another pid namespace uses it. Closing withdraws, then closes settings, log and post.
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const { dir, ns, name, clock, random, notices } = options;
  const directory = openDirectory(dir, ns, random);
  /** What was opened last is closed first. */
  const opened: Step[] = [];
  const isOpen = (name: string, part: Closable): void => void opened.unshift([name, () => part.close()]);
  try {
    const sockets = await openSockets({ directory, address: newAddress(random), clock, notices });
    isOpen('sockets', sockets);
    const rings = openRings({ directory, sockets, clock });
    await sweep(directory, rings, clock);
    const log = await openEmbeddedLog({ dir: directory.path, self: name, clock, random, notices, neighbours: rings });
    isOpen('log', log);
    const settings = openSettings({ directory, rings, clock, random, notices });
    isOpen('settings', settings);
    const upkeep = new Upkeep(directory, random, notices);
    const registry = openRegistry({ directory, sockets, rings, upkeep, clock, notices });
    isOpen('registry', registry);
    const post = openPost({ sockets, instancesOf: (module) => registry.instancesOf(module) });
    return { log, post, registry, settings, ...closable(teardown(directory.path, opened)) };
  } catch (error) {
    await runAll(opened); // the caller must see why it could not be opened
    if (error instanceof BusError) throw error;
    refuse(`${directory.path} cannot be used: ${sayError(error)}`, 'check its permissions and the free space there');
  }
}
