/** Kafka and ZooKeeper for tests, on loopback ports of their own, ended with the process that started them. */
import { progress, type KafkaVersion } from './jars';
import { brokerSessionMs, type Listener, makeBrokers } from './kafka';
import { freePorts, isWholeAt, until } from './ports';
import { makeKeys, users } from './security';
import type { JavaServer, Server } from './server';
import { startWatchdog } from './watchdog';
import { makeZookeeper } from './zookeeper';

export type { KafkaVersion, Listener, Server };

export interface ClusterOptions {
  /** 3 unless said otherwise. */
  readonly brokers?: number;
  /** 4.1 unless said otherwise. */
  readonly kafka?: KafkaVersion;
  readonly zookeeper?: boolean;
  /** Beside PLAINTEXT, which is always there. */
  readonly listeners?: readonly Listener[];
  /** After this long without a heartbeat a broker counts as dead; 3,000 ms unless said otherwise: machines stall. */
  readonly sessionMs?: number;
  /** More settings of the brokers, as in server.properties. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface Cluster {
  /** `host:port,host:port`: where to start asking for Kafka, without any security. */
  readonly brokers: string;
  /** The same for each listener that there is. */
  readonly listeners: Readonly<Partial<Record<Listener, string>>>;
  /** `host:port`; '' without one. */
  readonly zookeeper: string;
  /** The certificate to trust on SSL listeners; '' without such. */
  readonly caFile: string;
  /** User to password, for SASL. */
  readonly users: Readonly<Record<string, string>>;
  /** Whether its servers may be killed: they were started here. */
  readonly isOurs: boolean;
  /** Broker `id`, from 1. */
  broker(id: number): Server;
  readonly zookeeperServer: Server;
  /** Brings back whatever was killed, stopped or frozen; resolves when no replica is behind any more. */
  mend(): Promise<void>;
  /** Kills everything and removes its files. */
  close(): Promise<void>;
}

/** Resolves when all serve and know each other: on an idle machine of two cores after about ten seconds. */
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
  })) as (Record<Listener, number> & { CONTROLLER: number })[]; // of the names given
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

/** The servers that KAFKA_BROKERS and ZOOKEEPER name, which nobody may kill; undefined without KAFKA_BROKERS. */
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
