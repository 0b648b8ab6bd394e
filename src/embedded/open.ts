/** Opens all ports of one bus between the processes of one machine, in one shared directory. */
import { every, type Clock, type Random } from '../base/clock';
import { BusError, errorMessage } from '../base/errors';
import { closable, runAll, teardown, type Closable, type Step } from '../base/lifecycle';
import type { Notices } from '../base/notices';
import type { Log } from '../ports/log';
import type { Messenger } from '../ports/messenger';
import type { Registry } from '../ports/registry';
import type { Settings } from '../ports/settings';
import { findDirectory, openDirectory, refuse, type Directory } from './directory/directory';
import { newAddress } from './directory/process-liveness';
import { openEmbeddedLog } from './log';
import { openLogReader, type LogReader } from './log-reader';
import { openMessenger } from './messenger';
import { openRegistry } from './registry';
import { openDoorbells } from './sockets/doorbells';
import { openSettings } from './settings';
import { openSockets } from './sockets/sockets';
import { checkPidNamespaces, removeLeftovers } from './sockets/cleanup';
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
  const { dir, ns, clock, random, notices } = options;
  const directory = openDirectory(dir, ns, random);
  return withParts(directory, async (isOpen) => {
    const { sockets, doorbells, log } = await openLogIn(directory, options, isOpen);
    const settings = openSettings({ directory, doorbells, clock, random, notices });
    isOpen('settings', settings);
    const upkeep = new Upkeep(directory, random, notices);
    const registry = openRegistry({ directory, sockets, doorbells, upkeep, clock, notices });
    isOpen('registry', registry);
    const messenger = openMessenger({ sockets, instancesOf: (module) => registry.instancesOf(module) });
    return { log, messenger, registry, settings };
  });
}

/** Interval of the checks that the directory of a spool is complete. */
const upkeepMs = 1_000;

/**
 * Opens the local log of a spool, in a directory that the processes of this machine share. Rejects like
 * {@link openEmbedded}, also for the directory of an embedded bus.
 */
export async function openSpoolLog(options: EmbeddedOptions & { readonly dir: string }): Promise<SpoolLog> {
  const { dir, ns, clock, random, notices } = options;
  const directory = openDirectory(dir, ns, random, 'spool');
  return withParts(directory, async (isOpen) => {
    // A message waits for the brokers without a limit of time; spoolBytesMax limits their bytes.
    const { log } = await openLogIn(directory, options, isOpen, Infinity);
    const upkeep = new Upkeep(directory, random, notices);
    const looking = every(clock, upkeepMs, () => void upkeep.look());
    isOpen(
      'upkeep',
      closable(async () => looking.cancel()),
    );
    return { log, settings: directory.settings };
  });
}
export interface SpoolLog extends Closable {
  readonly log: Log;
  /** Folder for the last known settings of the bus. */
  readonly settings: string;
}

/** Returns the namespace of an existing spool. Rejects with Config if there is none at `dir`. Changes nothing. */
export function namespaceOfSpool(dir: string): string {
  return findDirectory(dir, 'spool').ns;
}

/**
 * Opens the local log of an existing spool for reading, of any namespace. It adds nothing to the directory. Rejects
 * with Config like {@link openSpoolLog}, and if there is no spool at `dir`.
 */
export async function openSpoolReader(
  dir: string,
  { clock, notices }: Pick<EmbeddedOptions, 'clock' | 'notices'>,
): Promise<{ readonly ns: string; readonly log: LogReader }> {
  const directory = findDirectory(dir, 'spool');
  await checkPidNamespaces(directory, clock);
  return { ns: directory.ns, log: await openLogReader(directory.path, clock, notices) };
}

type IsOpen = (name: string, part: Closable) => void;

/** Opens the log, and the sockets with which processes wake each other. */
async function openLogIn(
  directory: Directory,
  { name: self, clock, random, notices }: EmbeddedOptions,
  isOpen: IsOpen,
  heldBytesMax?: number,
) {
  const sockets = await openSockets({ directory, address: newAddress(random), clock, notices });
  isOpen('sockets', sockets);
  const doorbells = openDoorbells({ directory, sockets, clock });
  await removeLeftovers(directory, doorbells, clock);
  const parts = { self, clock, random, notices, peers: doorbells, heldBytesMax };
  const log = await openEmbeddedLog({ dir: directory.path, ...parts });
  isOpen('log', log);
  return { sockets, doorbells, log };
}

/** Opens parts in the directory. Closing closes them, the last opened first. If opening fails, nothing stays open. */
async function withParts<T>(directory: Directory, open: (isOpen: IsOpen) => Promise<T>): Promise<T & Closable> {
  const opened: Step[] = [];
  const isOpen: IsOpen = (name, part) => void opened.unshift([name, () => part.close()]);
  try {
    return { ...(await open(isOpen)), ...closable(teardown(directory.path, opened)) };
  } catch (error) {
    await runAll(opened); // a fault during closing must not hide the reason why opening failed
    if (error instanceof BusError) throw error;
    const found = `${directory.path} cannot be used: ${errorMessage(error)}`;
    refuse(directory.use, found, 'check its permissions and the free disk space');
  }
}
