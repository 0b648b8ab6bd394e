/** Starts Kafka and ZooKeeper for tests, on free loopback ports. They end with the process that started them. */
import { progress, type KafkaVersion } from './jars';
import { brokerSessionMs, type Listener, makeBrokers } from './kafka';
import { freePorts, isWholeAt, until } from './ports';
import { makeKeys, users } from './security';
import type { JavaServer, Server } from './server';
import { startWatchdog } from './watchdog';
import { makeZookeeper } from './zookeeper';

export type { KafkaVersion, Listener, Server };

export interface ClusterOptions {
  /** @default 3 */
  readonly brokers?: number;
  /** @default '4.1' */
  readonly kafka?: KafkaVersion;
  readonly zookeeper?: boolean;
  /** Listeners in addition to PLAINTEXT, which every broker has. */
  readonly listeners?: readonly Listener[];
  /** A broker without a heartbeat for this time counts as dead. @default 3000, longer than a loaded machine pauses */
  readonly sessionMs?: number;
  /** Additional settings of the brokers, as in server.properties. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface Cluster {
  /** Bootstrap servers of the PLAINTEXT listeners, as `host:port,host:port`. */
  readonly brokers: string;
  /** Bootstrap servers of each listener. */
  readonly listeners: Readonly<Partial<Record<Listener, string>>>;
  /** `host:port`; '' without a ZooKeeper. */
  readonly zookeeper: string;
  /** Path of the certificate to trust on SSL listeners; '' without SSL listeners. */
  readonly caFile: string;
  /** SASL passwords by user. */
  readonly users: Readonly<Record<string, string>>;
  /** True if this run started its servers, so that tests may kill them. */
  readonly isOurs: boolean;
  /** Returns broker `id`; ids count from 1. */
  broker(id: number): Server;
  readonly zookeeperServer: Server;
  /** Restarts killed and stopped servers and thaws frozen ones. Resolves when every replica is in sync. */
  mend(): Promise<void>;
  /** Kills all servers and removes their files. */
  close(): Promise<void>;
}

/** Starts a cluster. Resolves when all brokers serve and list each other: about ten seconds on two idle cores. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const watchdog = startWatchdog();
  try {
    return await startIn(watchdog.dir, options, () => watchdog.end());
  } catch (error) {
    await watchdog.end();
    throw error;
  }
}

async function startIn(dir: string, options: ClusterOptions, end: () => Promise<void>): Promise<Cluster> {
  const { brokers: count = 3, kafka: version = '4.1', sessionMs = brokerSessionMs, settings = {} } = options;
  const began = performance.now();
  const names: readonly Listener[] = [...new Set<Listener>(['PLAINTEXT', ...(options.listeners ?? [])])];
  const free = await freePorts(count * (names.length + 1) + 1);
  const ports = Array.from({ length: count }, () => ({
    ...Object.fromEntries(names.map((name) => [name, take(free)])),
    CONTROLLER: take(free),
  })) as (Record<Listener, number> & { CONTROLLER: number })[]; // it has the keys in `names`
  const zookeeperPort = take(free);
  const brokers = await makeBrokers({ dir, version, ports, sessionMs, settings });
  const zookeeper = options.zookeeper ? await makeZookeeper(dir, zookeeperPort) : undefined;
  const all = [...brokers, ...(zookeeper ? [zookeeper] : [])];

  let closed = false;
  const whole = (): Promise<void> =>
    until('all brokers know each other and have what they should', 180_000, async () => {
      if (closed) throw new Error('the cluster was closed');
      const whole = await Promise.all(ports.map((row) => isWholeAt(row.PLAINTEXT, count)));
      return whole.every(Boolean);
    });
  const mend = async (): Promise<void> => {
    await Promise.all(all.map(bringBack));
    await whole();
  };
  await mend();
  progress(
    `Kafka ${version} × ${count}${zookeeper ? ' and ZooKeeper' : ''} after ${Math.round(performance.now() - began)} ms`,
  );

  const listeners = Object.fromEntries(
    names.map((name) => [name, ports.map((row) => `127.0.0.1:${row[name]}`).join()]),
  );
  return {
    brokers: listeners.PLAINTEXT ?? '',
    listeners,
    zookeeper: zookeeper ? `127.0.0.1:${zookeeperPort}` : '',
    caFile: names.some((name) => name.endsWith('SSL')) ? (await makeKeys()).caFile : '',
    users,
    isOurs: true,
    broker: (id) => found(brokers[id - 1], `broker ${id}`),
    get zookeeperServer() {
      return found(zookeeper, 'ZooKeeper');
    },
    mend,
    async close() {
      closed = true;
      await Promise.all(all.map((server) => server.kill()));
      await end();
    },
  };
}

/** Returns the servers that KAFKA_BROKERS and ZOOKEEPER name, which tests may not kill; undefined if there are none. */
export function givenCluster(env: Readonly<Record<string, string | undefined>>): Cluster | undefined {
  const { KAFKA_BROKERS: brokers, ZOOKEEPER: zookeeper = '' } = env;
  if (!brokers) return undefined;
  const notOurs = (): never => {
    throw new Error('these servers were given by KAFKA_BROKERS: nobody may kill, stop or freeze them');
  };
  return {
    brokers,
    listeners: { PLAINTEXT: brokers },
    zookeeper,
    caFile: '',
    users: {},
    isOurs: false,
    broker: notOurs,
    get zookeeperServer() {
      return notOurs();
    },
    mend: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

async function bringBack(server: JavaServer): Promise<void> {
  if (server.pid === undefined) await server.start();
  else await server.thaw();
}

function take(ports: number[]): number {
  return found(ports.pop(), 'port');
}
function found<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`this cluster has no ${what}`);
  return value;
}
