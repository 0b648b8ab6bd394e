/** Opens all ports of one bus between the processes of one machine, in one shared directory. */
import type { Clock, Random } from '../base/clock';
import { BusError, errorMessage } from '../base/errors';
import { closable, runAll, teardown, type Closable, type Step } from '../base/lifecycle';
import type { Notices } from '../base/notices';
import type { Log } from '../ports/log';
import type { Messenger } from '../ports/messenger';
import type { Registry } from '../ports/registry';
import type { Settings } from '../ports/settings';
import { openDirectory, refuse } from './directory/directory';
import { newAddress } from './directory/process-liveness';
import { openEmbeddedLog } from './log';
import { openMessenger } from './messenger';
import { openRegistry } from './registry';
import { openDoorbells } from './sockets/doorbells';
import { openSettings } from './settings';
import { openSockets } from './sockets/sockets';
import { removeLeftovers } from './sockets/cleanup';
import { Upkeep } from './directory/upkeep';

export interface EmbeddedOptions {
  /** Directory shared by all processes. @default `$XDG_STATE_HOME/busbar/<ns>` or `~/.local/state/busbar/<ns>` */
  readonly dir?: string;
  readonly ns: string;
  /** Name of this instance. Messages of other instances use it to name the owner of a partition. */
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
}

export interface Embedded extends Closable {
  readonly log: Log;
  readonly messenger: Messenger;
  readonly registry: Registry;
  readonly settings: Settings;
}

/**
 * Opens the directory and all ports of one bus in it. Rejects with Config when the directory must not be used (see
 * {@link openDirectory}) or another pid namespace uses it. Closing withdraws the announcement, then closes settings,
 * log and messenger.
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const { dir, ns, name, clock, random, notices } = options;
  const directory = openDirectory(dir, ns, random);
  /** Parts to close, the last opened first. */
  const opened: Step[] = [];
  const isOpen = (name: string, part: Closable): void => void opened.unshift([name, () => part.close()]);
  try {
    const sockets = await openSockets({ directory, address: newAddress(random), clock, notices });
    isOpen('sockets', sockets);
    const doorbells = openDoorbells({ directory, sockets, clock });
    await removeLeftovers(directory, doorbells, clock);
    const log = await openEmbeddedLog({ dir: directory.path, self: name, clock, random, notices, peers: doorbells });
    isOpen('log', log);
    const settings = openSettings({ directory, doorbells, clock, random, notices });
    isOpen('settings', settings);
    const upkeep = new Upkeep(directory, random, notices);
    const registry = openRegistry({ directory, sockets, doorbells, upkeep, clock, notices });
    isOpen('registry', registry);
    const messenger = openMessenger({ sockets, instancesOf: (module) => registry.instancesOf(module) });
    return { log, messenger, registry, settings, ...closable(teardown(directory.path, opened)) };
  } catch (error) {
    await runAll(opened); // a fault during closing must not hide the reason why opening failed
    if (error instanceof BusError) throw error;
    refuse(`${directory.path} cannot be used: ${errorMessage(error)}`, 'check its permissions and the free disk space');
  }
}
