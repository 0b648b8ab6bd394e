/** Opens a bus; the only place that chooses between the makers of the ports. Each is loaded when it is chosen. */
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { randomHex, systemClock, systemRandom } from './base/clock';
import { BusError } from './base/errors';
import { openNotices } from './base/notices';
import { buildBus } from './bus/bus';
import type { BusParts } from './bus/parts';
import type { Bus, BusOptions } from './bus/types';
import { loadConfig, type BusGiven } from './config';
import { CONTRACT, type AnyContract } from './contract/types';
import { checkName } from './format/names';

/** The module this process is an instance of, and any option of the bus over files and variables. */
export interface OpenOptions extends BusOptions, BusGiven {}

/**
 * Opens the bus of this process; resolves when others can reach it. Options given here win over BUSBAR_* variables,
 * which win over the configuration file. Rejects with Config, naming every wrong option at once, and with whatever
 * makes the shared directory unusable. The process ends when the bus is closed and nothing else holds it.
 */
export async function openBus(options: OpenOptions): Promise<Bus> {
  return (await openWithPorts(options)).bus;
}

/** A bus and what it is made of, for tools that look into the logs themselves. */
export interface WithPorts {
  readonly bus: Bus;
  readonly ports: Pick<BusParts, 'log' | 'registry' | 'ns' | 'clock'>;
}

/** As {@link openBus}, but rejects with Unreachable where no bus was ever opened, instead of creating its directory. */
export async function openToLook(options: OpenOptions): Promise<WithPorts> {
  const { module: _module, incoming: _incoming, hear: _hear, ...overrides } = options;
  const { ns, dir } = loadConfig({ overrides }).values;
  const { defaultDirectory } = await import('./embedded/directory');
  const at = dir ?? defaultDirectory(ns);
  if (existsSync(at)) return openWithPorts(options);
  const cause = `${at} is not there`;
  const remedy = 'name another place with --ns, --dir or BUSBAR_DIR';
  const message = `nothing was ever started with ns ${ns} here: ${cause}; ${remedy}`;
  throw new BusError('Unreachable', message, { waitedMs: 0, cause });
}

async function openWithPorts(options: OpenOptions): Promise<WithPorts> {
  const { module, incoming = [], hear, ...overrides } = options;
  const { values } = loadConfig({ overrides });
  const name = checkName('module', moduleName(module));
  const self = { module: name, instance: `${name}#${randomHex(systemRandom, instanceBits)}` };
  const notices = openNotices();
  if (hear) notices.watch(hear);
  const { openEmbedded } = await import('./embedded/open');
  const { ns, dir } = values;
  const around = { clock: systemClock, random: systemRandom, notices };
  const embedded = await openEmbedded({ ...around, ns, name: self.instance, ...(dir !== undefined && { dir }) });
  const { log, post, registry, settings } = embedded;
  const parts: BusParts = {
    ...around,
    log,
    post,
    registry,
    settings,
    self,
    ns,
    host: hostname(),
    pid: process.pid,
    rssBytes: () => process.memoryUsage.rss(),
    version: values.version,
    reached: 'disk',
    middleware: incoming,
    timings: { ...values, lingerMs },
    closePorts: () => embedded.close(),
  };
  const { bus, opened } = buildBus(parts);
  try {
    await opened;
  } catch (error) {
    await bus.close();
    throw error;
  }
  return { bus, ports: parts };
}

const lingerMs = 50; // ten times what a change of the registry takes to be seen
const instanceBits = 24; // short enough for people; two of 200 living ones are alike once in a thousand starts

function moduleName(module: AnyContract | string): string {
  return typeof module === 'string' ? module : module[CONTRACT];
}
