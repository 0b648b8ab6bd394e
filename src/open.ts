/** Opens a bus. No other file chooses the implementations of the ports; each is loaded only if it is chosen. */
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { fromCaller } from './delivery/call-site';
import { randomHex, systemClock, systemRandom } from './base/clock';
import { BusError } from './base/errors';
import { allEnded } from './base/lifecycle';
import { openNotices, type Notices } from './base/notices';
import { configError } from './base/options';
import { buildBus } from './bus/bus';
import type { BusParts } from './bus/parts';
import type { Bus, BusOptions } from './bus/types';
import { liveConfig, loadConfig } from './config';
import type { BusGiven, BusValues } from './options';
import { CONTRACT, type AnyContract } from './contract/types';
import { checkName } from './format/names';
import type { Around, Look, Made } from './open-servers';
import { registeredMetrics, registeredTracing } from './telemetry/registered';
import { logToStderr } from './telemetry/stderr';

/**
 * Options of {@link openBus}: the module of this process, and any option of the bus. They override variables and file.
 */
export interface OpenOptions extends BusOptions, BusGiven {}

/**
 * Opens the bus of this process.
 *
 * Resolves when other instances can reach it. Options given here override BUSBAR_* variables, which override the
 * configuration file.
 *
 * Rejects with Config, which names every wrong option, or when the shared directory cannot be used. Rejects with
 * NotAllowed when the servers refuse the user, with Unreachable when they do not respond (`waitForServersMs` waits for
 * them), and with Cancelled when `signal` aborts. Nothing stays open then.
 *
 * With a `spool`, the bus also opens when the brokers do not respond. It accepts jobs and events, and `health()`
 * reports that requests and broadcasts wait.
 *
 * Warnings and errors of the bus are written to standard error. `logLevel` changes that, and `log: false` ends it.
 *
 * The process can end when the bus is closed and nothing else keeps it running.
 *
 * @example
 * import { openBus } from 'busbar';
 *
 * const bus = await openBus({ module: photos });
 * await bus.serve(photos, handlers);
 */
export async function openBus(options: OpenOptions): Promise<Bus> {
  try {
    return (await openWithPorts(options)).bus;
  } catch (error) {
    throw fromCaller(error);
  }
}

/** A bus and its ports, for tools that read the logs directly. */
export interface WithPorts {
  readonly bus: Bus;
  readonly ports: Pick<BusParts, 'log' | 'registry' | 'settings' | 'ns' | 'clock'>;
}

/**
 * Opens a bus like {@link openBus}, for a waiting person. If no bus was ever opened with these options, it creates
 * nothing and rejects with Unreachable. If servers do not respond, it calls `waiting`, and rejects after a few seconds.
 */
export async function openToLook(options: OpenOptions, waiting: Look['waiting'] = () => undefined): Promise<WithPorts> {
  return openWithPorts({ ...options, log: false, health: false }, { waiting });
}

async function openWithPorts(options: OpenOptions, look?: Look): Promise<WithPorts> {
  const { module, incoming = [], onNotice: listener, log = true, health = true, signal, ...overrides } = options ?? {};
  const { values: given } = loadConfig({ overrides });
  const values = { ...given, logLevel: given.logLevel ?? 'warn' };
  const name = checkName('module', moduleName(module));
  const self = { module: name, instance: `${name}#${randomHex(systemRandom, instanceBits)}` };
  const notices = openNotices(systemClock);
  if (listener) notices.watch(listener);
  if (log) {
    const fields = () => ({ ...self, pid: process.pid });
    logToStderr({ notices, level: values.logLevel, format: values.logFormat, fields });
  }
  const server = health ? await openHealth(notices, values) : undefined;
  const metrics = look ? undefined : await registeredMetrics(notices);
  /** Ends what watches the bus. */
  async function unwatch(): Promise<void> {
    metrics?.stop();
    await server?.close();
  }
  try {
    const tracing = await registeredTracing(self.instance, notices);
    const opened = await openBusOf({ values, self, notices, incoming, tracing, signal, look, unwatch });
    server?.serves(opened.bus);
    metrics?.measures(opened.bus);
    return opened;
  } catch (error) {
    await unwatch();
    throw error;
  }
}

interface Given extends Pick<BusParts, 'self' | 'notices' | 'tracing'> {
  readonly values: BusValues;
  readonly incoming: BusParts['middleware'];
  readonly signal: AbortSignal | undefined;
  readonly look: Look | undefined;
  /** Called when the bus closes. */
  readonly unwatch: () => Promise<void>;
}
async function openBusOf(given: Given): Promise<WithPorts> {
  const { values, self, notices, incoming, tracing, signal, look, unwatch } = given;
  const around = {
    clock: systemClock,
    random: systemRandom,
    notices,
    name: self.instance,
    signal,
    ...(look && { look }),
  };
  const { lingerMs, ...ports } = await (values.transport === 'kafka' ? onServers : onThisMachine)(values, around);
  const parts: BusParts = {
    ...ports,
    clock: systemClock,
    random: systemRandom,
    notices,
    live: liveConfig(values, notices, systemClock),
    self,
    ns: values.ns,
    host: hostname(),
    pid: process.pid,
    rssBytes: () => process.memoryUsage.rss(),
    version: values.version,
    middleware: incoming,
    tracing,
    timings: { ...values, lingerMs },
    closePorts: () => allEnded('closing the ports', [ports.closePorts(), unwatch()]),
  };
  const { bus, opened } = buildBus(parts);
  try {
    await opened;
  } catch (error) {
    await bus.close().catch(() => undefined); // the caller must receive the first error
    throw error;
  }
  return { bus, ports: parts };
}

/** Opens the server before the bus, so that an occupied port fails the start early, and every notice is counted. */
async function openHealth(notices: Notices, { healthPort: port, healthHost: host }: BusValues) {
  if (port === undefined) return undefined;
  const { openHealthServer } = await import('./telemetry/health-server');
  const server = await openHealthServer(notices, { host, port });
  notices.emit({ type: 'log', level: 'info', message: `health at ${server.url}/health`, fields: {} });
  return server;
}

async function onServers(values: BusValues, around: Around): Promise<Made> {
  const { onKafka } = await import('./open-servers');
  return onKafka(values, around);
}
async function onThisMachine({ ns, dir }: BusValues, { look, ...around }: Around): Promise<Made> {
  if (look) await checkStarted(ns, dir);
  const { openEmbedded } = await import('./embedded/open');
  const embedded = await openEmbedded({ ...around, ns, ...(dir !== undefined && { dir }) });
  const { log, messenger, registry, settings } = embedded;
  // Ten times the delay with which other instances see a change of the registry.
  return { log, messenger, registry, settings, reached: 'disk', lingerMs: 50, closePorts: () => embedded.close() };
}
async function checkStarted(ns: string, dir: string | undefined): Promise<void> {
  const { defaultDirectory } = await import('./embedded/directory/directory');
  const at = dir ?? defaultDirectory(ns);
  if (existsSync(at)) return;
  const cause = `${at} does not exist`;
  const message = `no bus was ever opened with ns ${ns} here: ${cause}. Name another with --ns, --dir or BUSBAR_DIR`;
  throw new BusError('Unreachable', message, { outcome: 'not-sent', waitedMs: 0, cause });
}

/**
 * Length of the random part of an instance's name, in bits. It is short enough to read. Two of 200 live instances have
 * the same name in one of a thousand starts.
 */
const instanceBits = 24;

/** Returns the name of the module. The type is checked for callers without a compiler. */
function moduleName(given: AnyContract | string): string {
  const module = given as AnyContract | string | null | undefined;
  const name = typeof module === 'string' ? module : module?.[CONTRACT];
  if (typeof name === 'string') return name;
  throw configError(
    ['module (openBus) is missing'],
    'Pass openBus({ module }) the contract that defineModule returned, or the name of the module.',
  );
}
