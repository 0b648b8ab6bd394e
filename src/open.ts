/** Opens a bus; the only place that chooses between the makers of the ports. Each is loaded when it is chosen. */
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
import { liveConfig, loadConfig, secretVariables, type BusGiven, type BusValues } from './config';
import { CONTRACT, type AnyContract } from './contract/types';
import { checkName } from './format/names';
import type { Security } from './kafka/client/security';
import type { ZookeeperOptions } from './zookeeper/open';

/** The module this process is an instance of, and any option of the bus over files and variables. */
export interface OpenOptions extends BusOptions, BusGiven {}

/**
 * Opens the bus of this process; resolves when others can reach it. Options given here win over BUSBAR_* variables,
 * which win over the configuration file. Rejects with Config, naming every wrong option at once, and with whatever
 * makes the shared directory unusable. The process ends when the bus is closed and nothing else holds it.
 */
export async function openBus(options: OpenOptions): Promise<Bus> {
  const site = callSite(openBus);
  try {
    return (await openWithPorts(options)).bus;
  } catch (error) {
    throw fromCaller(error, site);
  }
}

/** A bus and what it is made of, for tools that look into the logs themselves. */
export interface WithPorts {
  readonly bus: Bus;
  readonly ports: Pick<BusParts, 'log' | 'registry' | 'settings' | 'ns' | 'clock'>;
}

/** How a person who waits is served. */
interface Look {
  /** Called when a server does not answer at once, with its address. */
  readonly waiting: (message: string) => void;
}

/**
 * As {@link openBus}, but rejects with Unreachable where no bus was ever opened, instead of making what it needs. Gives
 * up after a few seconds when servers do not answer, and calls `waiting` before.
 */
export async function openToLook(options: OpenOptions, waiting: Look['waiting'] = () => undefined): Promise<WithPorts> {
  return openWithPorts(options, { waiting });
}

async function openWithPorts(options: OpenOptions, look?: Look): Promise<WithPorts> {
  const { module, incoming = [], hear, ...overrides } = options ?? {};
  const { values } = loadConfig({ overrides });
  const name = checkName('module', moduleName(module));
  const self = { module: name, instance: `${name}#${randomHex(systemRandom, instanceBits)}` };
  const notices = openNotices(systemClock);
  if (hear) notices.watch(hear);
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
    await bus.close().catch(() => undefined); // the caller must see why it could not be opened
    throw error;
  }
  return { bus, ports: parts };
}

interface Around extends Pick<BusParts, 'clock' | 'random' | 'notices'> {
  /** Of this instance. */
  readonly name: string;
  readonly look?: Look;
}
interface Made extends Pick<BusParts, 'log' | 'post' | 'registry' | 'settings' | 'reached' | 'closePorts'> {
  readonly lingerMs: number;
}

async function onThisMachine({ ns, dir }: BusValues, { look, ...around }: Around): Promise<Made> {
  if (look) await checkStarted(ns, dir);
  const { openEmbedded } = await import('./embedded/open');
  const embedded = await openEmbedded({ ...around, ns, ...(dir !== undefined && { dir }) });
  const { log, post, registry, settings } = embedded;
  // Ten times what a change of the registry takes to be seen.
  return { log, post, registry, settings, reached: 'disk', lingerMs: 50, closePorts: () => embedded.close() };
}
async function checkStarted(ns: string, dir: string | undefined): Promise<void> {
  const { defaultDirectory } = await import('./embedded/directory/directory');
  const at = dir ?? defaultDirectory(ns);
  if (existsSync(at)) return;
  const cause = `${at} is not there`;
  const message = `nothing was ever started with ns ${ns} here: ${cause}; name another with --ns, --dir or BUSBAR_DIR`;
  throw new BusError('Unreachable', message, { outcome: 'not-sent', waitedMs: 0, cause });
}

/** Servers may be away, and then there is no socket between two attempts to connect: the bus holds the process. */
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
      missing.map((name) => `transport = kafka needs ${name}`),
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
    ...(!look && { openMs: sessionMs }), // a person who waits is answered sooner
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
    const { log, post, registry } = kafka;
    const closePorts = teardown('the servers', [
      ['Kafka', () => kafka.close()],
      ['ZooKeeper', () => zookeeper.close()],
    ]);
    // What a change of the registry takes to be seen, where many change at once.
    return { log, post, registry, settings: zookeeper.settings, reached: 'broker', lingerMs: 300, closePorts };
  } catch (error) {
    await zookeeper.close().catch(() => undefined); // the caller must see why it could not be opened
    throw error;
  }
}
const kafkaRemedy = 'Set the addresses of the servers, as host:port, or set transport to embedded.';
/**
 * After so long without a sign of life an instance is asked whether it lives. Callers learn its death within five
 * seconds: the servers end sessions at their next tick (500 ms), the answer is waited for half a second.
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
      `${place} would be sent to ZooKeeper in clear text: set zookeeperTls to true and name the servers' ` +
        `secureClientPort in zookeeper, ${allow}`,
    );
  }
  if (security.sasl?.mechanism === 'PLAIN' && !security.tls) {
    faults.push(
      'saslMechanism PLAIN would send the password to Kafka in clear text: set tls to true and name a SASL_SSL ' +
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

const instanceBits = 24; // short enough for people; two of 200 living ones are alike once in a thousand starts

/** Asked of callers without a compiler too. */
function moduleName(given: AnyContract | string): string {
  const module = given as AnyContract | string | null | undefined;
  const name = typeof module === 'string' ? module : module?.[CONTRACT];
  if (typeof name === 'string') return name;
  throw configError(
    ['module (openBus) is missing: give the contract of this process, or a name'],
    'Pass openBus({ module }) the contract that defineModule returned, or the name of the module.',
  );
}
