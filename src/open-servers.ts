/** Opens the ports of a bus on Kafka and ZooKeeper, with the spool in front of them. Loaded only if they are chosen. */
import { holdProcess } from './base/clock';
import { isBusError } from './base/errors';
import { teardown, type Closable } from './base/lifecycle';
import { configError } from './base/options';
import type { BusParts } from './bus/parts';
import { secretVariables, type BusValues } from './options';
import type { SpoolLog } from './embedded/open';
import type { Security } from './kafka/client/security';
import type { Log } from './ports/log';
import type { Spool } from './spool/spool';
import type { ZookeeperOptions } from './zookeeper/open';

/** Options for a person waiting for the result. */
export interface Look {
  /** Is called with the address of a server that does not respond within half a second. */
  readonly waiting: (message: string) => void;
}

/** Dependencies of the ports. */
export interface Around extends Pick<BusParts, 'clock' | 'random' | 'notices'> {
  /** Name of this instance. */
  readonly name: string;
  /** Ends the wait for servers. */
  readonly signal: AbortSignal | undefined;
  readonly look?: Look;
}
/** The open ports. */
export interface Made extends Pick<
  BusParts,
  'log' | 'messenger' | 'registry' | 'settings' | 'reached' | 'spool' | 'closePorts'
> {
  readonly lingerMs: number;
}

/**
 * Opens the ports on Kafka and ZooKeeper. While the servers are unreachable no socket is open, so a timer must keep the
 * process running. With a spool, the ports open although the brokers do not respond.
 */
export async function onKafka(values: BusValues, around: Around): Promise<Made> {
  const servers = serversOf(values);
  const hold = holdProcess();
  let local: SpoolLog | undefined;
  const letGo = teardown('the bus', [
    ['files of the spool', () => local?.close()],
    ['process', () => hold.cancel()],
  ]);
  try {
    local = await openLocal(values, around);
    const { closePorts, ...made } = await openServers(values, around, { ...cacheIn(local), ...servers }, local);
    const closing = teardown('the bus', [
      ['servers', closePorts],
      ['files', letGo],
    ]);
    return { ...made, closePorts: closing };
  } catch (error) {
    await letGo().catch(() => undefined); // the caller must receive the first error
    throw error;
  }
}
/** Connects to the servers, and waits for them before if the option `waitForServersMs` is set. */
async function openServers(
  values: BusValues,
  around: Around,
  servers: Servers,
  local: SpoolLog | undefined,
): Promise<Made> {
  const connect = (): Promise<Made> => connectServers(values, around, servers, local);
  if (values.waitForServersMs === 0 || around.look) return connect();
  try {
    return await whenServersRespond(values, around, servers, connect);
  } catch (error) {
    if (!local || !isBusError(error, 'Unreachable')) throw error;
    return connect();
  }
}
/** Waits for brokers and ZooKeeper before it connects, with connections that are used for nothing else. */
async function whenServersRespond(
  values: BusValues,
  { clock, random, notices, name: clientId, signal }: Around,
  { brokers, security, ...zookeeper }: Servers,
  connect: () => Promise<Made>,
): Promise<Made> {
  const [{ openWhenServersRespond }, { probeZookeeper }, { probeKafka }] = await Promise.all([
    import('./wait-for-servers'),
    import('./zookeeper/open'),
    import('./kafka/open'),
  ]);
  const around = { clock, random, notices };
  const { waitForServersMs: waitMs, replicas } = values;
  const probe = () => {
    const registry = probeZookeeper({ ...around, ...zookeeper });
    const log = probeKafka({ ...around, brokers, security, clientId, ...(replicas !== undefined && { replicas }) });
    return registry ? [log, registry] : [log];
  };
  return openWhenServersRespond({ ...around, waitMs, signal }, probe, connect, ({ closePorts }) => closePorts());
}

interface Servers extends Omit<ZookeeperOptions, 'clock' | 'random' | 'notices'> {
  readonly brokers: readonly string[];
  readonly security: Security;
}
/**
 * Returns the options of the connections. Throws Config if one is missing, or a password would be sent in clear text.
 */
function serversOf(values: BusValues): Servers {
  const { ns, dir, brokers = [], zookeeper: connect = '', sessionMs } = values;
  const missing = [brokers.length === 0 && 'brokers', connect === '' && 'zookeeper'].filter((name) => name !== false);
  if (missing.length > 0)
    throw configError(
      missing.map((name) => `transport kafka needs the option ${name}`),
      kafkaRemedy,
    );
  const [security, auth, tls] = [securityOf(values), zookeeperAuth(values), zookeeperTls(values)];
  const exposed = values.credentialsWithoutTls ? [] : exposedBy(security, auth, tls);
  if (exposed.length > 0) throw configError(exposed, exposedRemedy);
  return {
    brokers,
    security,
    connect,
    ns,
    sessionMs: Math.min(sessionMs, aliveMs),
    ...(dir !== undefined && { cacheDir: dir }),
    ...(auth && { auth }),
    ...(tls && { tls }),
  };
}
/** Connects to the servers. `local` stays open if that fails. */
async function connectServers(
  values: BusValues,
  around: Around,
  { brokers, security, ...servers }: Servers,
  local: SpoolLog | undefined,
): Promise<Made> {
  const { ns, inboxPartitions, topics, replicas } = values;
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
    ...servers,
    ...(!look && { openMs: values.sessionMs }), // a waiting person gets the error earlier
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
      opensWithoutBrokers: local !== undefined,
      ...(replicas !== undefined && { replicas }),
    });
    const { log, messenger, registry } = kafka;
    const spool = await openSpoolOn(log, values, around, local).catch(async (error: unknown) => {
      await kafka.close().catch(() => undefined); // the caller must receive the first error
      throw error;
    });
    const closePorts = teardown('the servers', [
      ['spool', () => spool?.close()],
      ['Kafka', () => kafka.close()],
      ['ZooKeeper', () => zookeeper.close()],
    ]);
    const { settings } = zookeeper;
    // Delay with which other instances see a change of the registry when many change at once.
    return { log, messenger, registry, settings, reached: 'broker', spool, lingerMs: 300, closePorts };
  } catch (error) {
    await zookeeper.close().catch(() => undefined); // the caller must receive the first error
    throw error;
  }
}
/** Opens the local log of the spool, if the option is set. A bus of an operator does not use it. */
async function openLocal(values: BusValues, { look, ...around }: Around): Promise<SpoolLog | undefined> {
  const { ns, spool: dir } = values;
  if (dir === undefined || look) return undefined;
  const { openSpoolLog } = await import('./embedded/open');
  return openSpoolLog({ ...around, ns, dir });
}
/** Returns the directory of the last known settings. A process that has a spool can so start without ZooKeeper. */
function cacheIn(local: SpoolLog | undefined): Pick<Servers, 'cacheDir'> {
  return local ? { cacheDir: local.settings } : {};
}
/** Opens the spool in front of the brokers, if there is a local log. */
async function openSpoolOn(
  log: Log,
  values: BusValues,
  around: Around,
  local: SpoolLog | undefined,
): Promise<Spool | undefined> {
  if (!local) return undefined;
  const { ns, spoolBytesMax: bytesMax, spoolTopicShare: topicShare } = values;
  const { openSpool } = await import('./spool/spool');
  return openSpool({ ...around, ns, log, local: local.log, bytesMax, topicShare });
}
/** Opens the log of the brokers for an operator, without ZooKeeper. Rejects with Unreachable if no broker listens. */
export async function openBrokers(
  values: BusValues,
  around: Omit<Around, 'signal' | 'look'> & Required<Pick<Around, 'look'>>,
): Promise<{ readonly log: Log } & Closable> {
  const { ns, brokers = [], topics, replicas } = values;
  if (brokers.length === 0) throw configError(['sending to the brokers needs the option brokers'], kafkaRemedy);
  const security = securityOf(values);
  const exposed = values.credentialsWithoutTls ? [] : exposedBy(security, undefined, undefined);
  if (exposed.length > 0) throw configError(exposed, exposedRemedy);
  const [{ openKafkaLogOnly }, { mustListen }] = await Promise.all([
    import('./kafka/open'),
    import('./kafka/cluster/reachable'),
  ]);
  const { look, ...rest } = around;
  await mustListen(brokers, around.clock, look.waiting);
  return openKafkaLogOnly({ ...rest, ns, brokers, security, topics, ...(replicas !== undefined && { replicas }) });
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
