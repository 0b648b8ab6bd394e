/** Opens a bus. No other file chooses the implementations of the ports; each is loaded only if it is chosen. */
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { callSite, fromCaller } from './delivery/call-site';
import { holdProcess, randomHex, systemClock, systemRandom } from './base/clock';
import { BusError } from './base/errors';
import { teardown } from './base/lifecycle';
import { openNotices } from './base/notices';
import { configError } from './base/options';
import { buildBus } from './bus/bus';
import type { BusParts } from './bus/parts';
import type { Bus, BusOptions } from './bus/types';
import { liveConfig, loadConfig } from './config';
import { secretVariables, type BusGiven, type BusValues } from './options';
import { CONTRACT, type AnyContract } from './contract/types';
import { checkName } from './format/names';
import type { Security } from './kafka/client/security';
import type { ZookeeperOptions } from './zookeeper/open';

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
 * NotAllowed when the servers refuse the user, and with Unreachable when they do not respond. Nothing stays open then.
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
  const site = callSite(openBus);
  try {
    return (await openWithPorts(options)).bus;
  } catch (error) {
    throw fromCaller(error, site);
  }
}

/** A bus and its ports, for tools that read the logs directly. */
export interface WithPorts {
  readonly bus: Bus;
  readonly ports: Pick<BusParts, 'log' | 'registry' | 'settings' | 'ns' | 'clock'>;
}

/** Options for a person waiting for the result. */
interface Look {
  /** Is called with the address of a server that does not respond within half a second. */
  readonly waiting: (message: string) => void;
}

/**
 * Opens a bus like {@link openBus}, for a waiting person. If no bus was ever opened with these options, it creates
 * nothing and rejects with Unreachable. If servers do not respond, it calls `waiting`, and rejects after a few seconds.
 */
export async function openToLook(options: OpenOptions, waiting: Look['waiting'] = () => undefined): Promise<WithPorts> {
  return openWithPorts(options, { waiting });
}

async function openWithPorts(options: OpenOptions, look?: Look): Promise<WithPorts> {
  const { module, incoming = [], onNotice: listener, ...overrides } = options ?? {};
  const { values } = loadConfig({ overrides });
  const name = checkName('module', moduleName(module));
  const self = { module: name, instance: `${name}#${randomHex(systemRandom, instanceBits)}` };
  const notices = openNotices(systemClock);
  if (listener) notices.watch(listener);
  const around = { clock: systemClock, random: systemRandom, notices, name: self.instance, ...(look && { look }) };
  const { lingerMs, ...ports } = await (values.transport === 'kafka' ? onKafka : onThisMachine)(values, around);
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
    timings: { ...values, lingerMs },
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

/** Dependencies of the ports. */
interface Around extends Pick<BusParts, 'clock' | 'random' | 'notices'> {
  /** Name of this instance. */
  readonly name: string;
  readonly look?: Look;
}
/** The open ports. */
interface Made extends Pick<BusParts, 'log' | 'messenger' | 'registry' | 'settings' | 'reached' | 'closePorts'> {
  readonly lingerMs: number;
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
 * Opens the ports on Kafka and ZooKeeper. While the servers are unreachable no socket is open, so a timer must keep the
 * process running.
 */
async function onKafka(values: BusValues, around: Around): Promise<Made> {
  const hold = holdProcess();
  try {
    const { closePorts, ...made } = await connectServers(values, around);
    return { ...made, closePorts: () => closePorts().finally(() => hold.cancel()) };
  } catch (error) {
    hold.cancel();
    throw error;
  }
}
async function connectServers(values: BusValues, around: Around): Promise<Made> {
  const { ns, dir, brokers = [], zookeeper: connect = '', sessionMs, inboxPartitions, topics, replicas } = values;
  const missing = [brokers.length === 0 && 'brokers', connect === '' && 'zookeeper'].filter((name) => name !== false);
  if (missing.length > 0)
    throw configError(
      missing.map((name) => `transport kafka needs the option ${name}`),
      kafkaRemedy,
    );
  const [security, auth, tls] = [securityOf(values), zookeeperAuth(values), zookeeperTls(values)];
  const exposed = values.credentialsWithoutTls ? [] : exposedBy(security, auth, tls);
  if (exposed.length > 0) throw configError(exposed, exposedRemedy);
  const [{ openZookeeper }, { openKafka }, { mustListen }] = await Promise.all([
    import('./zookeeper/open'),
    import('./kafka/open'),
    import('./kafka/cluster/reachable'),
  ]);
  const { look, ...rest } = around;
  const listening = look ? mustListen(brokers, around.clock, look.waiting) : Promise.resolve();
  listening.catch(() => undefined); // awaited below
  const zookeeper = await openZookeeper({
    ...rest,
    ...look,
    connect,
    ns,
    sessionMs: Math.min(sessionMs, aliveMs),
    ...(!look && { openMs: sessionMs }), // a waiting person gets the error earlier
    ...(dir !== undefined && { cacheDir: dir }),
    ...(auth && { auth }),
    ...(tls && { tls }),
  });
  try {
    await listening;
    const kafka = await openKafka({
      ...around,
      ns,
      brokers,
      inboxPartitions,
      security,
      registry: zookeeper.registry,
      topics,
      ...(replicas !== undefined && { replicas }),
    });
    const { log, messenger, registry } = kafka;
    const closePorts = teardown('the servers', [
      ['Kafka', () => kafka.close()],
      ['ZooKeeper', () => zookeeper.close()],
    ]);
    // Delay with which other instances see a change of the registry when many change at once.
    return { log, messenger, registry, settings: zookeeper.settings, reached: 'broker', lingerMs: 300, closePorts };
  } catch (error) {
    await zookeeper.close().catch(() => undefined); // the caller must receive the first error
    throw error;
  }
}
const kafkaRemedy = 'Set the addresses of the servers, as host:port, or set transport to embedded.';
/**
 * Session timeout in ZooKeeper, at most, in ms. An instance without a heartbeat for this time counts as unreachable,
 * and its callers probe it. They detect a crash within five seconds: the servers end sessions at their next tick (500
 * ms), and the probe takes half a second.
 */
const aliveMs = 3_500;

function zookeeperAuth({ zookeeperAuthFile: file }: BusValues): ZookeeperOptions['auth'] {
  if (file !== undefined) return { file };
  const variable = secretVariables.zookeeperAuth;
  return process.env[variable] ? { variable } : undefined;
}
function zookeeperTls(values: BusValues): ZookeeperOptions['tls'] {
  const { zookeeperTls: on, zookeeperTlsCaFile: caFile, zookeeperTlsCertFile: certFile } = values;
  const { zookeeperTlsKeyFile: keyFile } = values;
  if (!on && caFile === undefined && certFile === undefined) return undefined;
  return { ...(caFile && { caFile }), ...(certFile && { certFile }), ...(keyFile && { keyFile }) };
}

const exposedRemedy = 'Encrypt the connections that the message names, or set credentialsWithoutTls to true.';
/** Returns a fault for each password that would be sent in clear text. */
function exposedBy(security: Security, auth: ZookeeperOptions['auth'], tls: ZookeeperOptions['tls']): string[] {
  const allow = 'or set credentialsWithoutTls to true on a network that you trust';
  const faults: string[] = [];
  if (auth && !tls) {
    const place = 'file' in auth ? `zookeeperAuthFile (${auth.file})` : auth.variable;
    faults.push(
      `${place} would be sent to ZooKeeper in clear text. Set zookeeperTls to true and name the servers' ` +
        `secureClientPort in zookeeper, ${allow}`,
    );
  }
  if (security.sasl?.mechanism === 'PLAIN' && !security.tls) {
    faults.push(
      'saslMechanism PLAIN would send the password to Kafka in clear text. Set tls to true and name a SASL_SSL ' +
        `listener in brokers, use SCRAM-SHA-512, ${allow}`,
    );
  }
  return faults;
}
function securityOf(values: BusValues): Security {
  const { tls, tlsCaFile: caFile, tlsCertFile: certFile, tlsKeyFile: keyFile } = values;
  const { saslUsername: username, saslMechanism: mechanism, saslPasswordFile: file } = values;
  const encrypted = tls || caFile !== undefined || certFile !== undefined;
  const password = file === undefined ? { env: secretVariables.saslPassword } : { file };
  return {
    ...(encrypted && {
      tls: { ...(caFile && { caFile }), ...(certFile && { certFile }), ...(keyFile && { keyFile }) },
    }),
    ...(username !== undefined && { sasl: { mechanism, username, password } }),
  };
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
