/** Configures the brokers of the test cluster: small, with short session timeouts and the listeners of the test. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { cached, type KafkaVersion, kafkaJars } from './jars';
import { brokersKnownAt } from './ports';
import { JavaServer } from './server';
import { type Keys, makeKeys, users } from './security';

const run = promisify(execFile);

export type Listener = 'PLAINTEXT' | 'SASL_PLAINTEXT' | 'SSL' | 'SASL_SSL';

export interface BrokersOptions {
  readonly dir: string;
  readonly version: KafkaVersion;
  /** One row per broker: a port for each listener, and one for traffic between controllers. */
  readonly ports: readonly (Readonly<Partial<Record<Listener, number>>> & { readonly CONTROLLER: number })[];
  /** A broker without a heartbeat for this time counts as dead. */
  readonly sessionMs: number;
  readonly settings: Readonly<Record<string, string>>;
}

const lightly = ['-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto'];
const say = ['-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-Dorg.slf4j.simpleLogger.showDateTime=true'];

/** Makes one server for each row of `ports`, not started yet. Broker ids count from 1. */
export async function makeBrokers(options: BrokersOptions): Promise<JavaServer[]> {
  const { dir, ports, version } = options;
  const jars = await kafkaJars(version);
  const secured = ports.some((row) => row.SASL_PLAINTEXT ?? row.SSL ?? row.SASL_SSL);
  const keys = secured ? await makeKeys() : undefined;
  const template = await formatted(version, jars);
  const cluster = randomBytes(16).toString('base64url');
  return Promise.all(
    ports.map(async (row, i) => {
      const name = `broker-${i + 1}`;
      const file = path.join(dir, `${name}.properties`);
      await copyFormatted(template, path.join(dir, name), cluster, i + 1);
      await writeFile(file, lines(settingsOf(options, i, keys)));
      const java = [...lightly, ...say, '-cp', `${jars}/*`, 'kafka.Kafka', file];
      // A broker serves when it lists at least one broker that is not fenced: itself.
      const serves = async (): Promise<boolean> => (await brokersKnownAt(row.PLAINTEXT ?? 0)) > 0;
      return new JavaServer({ name, dir, java, serves, startMs: 180_000 });
    }),
  );
}

function settingsOf(
  { dir, ports, sessionMs, settings }: BrokersOptions,
  i: number,
  keys?: Keys,
): Record<string, string> {
  const own = ports[i] ?? { CONTROLLER: 0 };
  const count = ports.length;
  const listeners = Object.entries(own).map(([name, port]) => `${name}://127.0.0.1:${port}`);
  return {
    'process.roles': 'broker,controller',
    'node.id': `${i + 1}`,
    'controller.quorum.voters': ports.map((row, n) => `${n + 1}@127.0.0.1:${row.CONTROLLER}`).join(),
    listeners: listeners.join(),
    'advertised.listeners': listeners.filter((one) => !one.startsWith('CONTROLLER')).join(),
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map':
      'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL',
    'log.dirs': path.join(dir, `broker-${i + 1}`),
    'default.replication.factor': `${count}`,
    'min.insync.replicas': count > 1 ? '2' : '1',
    'offsets.topic.replication.factor': `${count}`,
    'offsets.topic.num.partitions': '5',
    'transaction.state.log.replication.factor': `${count}`,
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '5',
    'auto.create.topics.enable': 'false',
    'auto.leader.rebalance.enable': 'false', // leaders move when a test wants it, not every five minutes
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '500',
    ...quick(sessionMs),
    ...small,
    ...keys?.settings,
    ...settings,
  };
}

/** Short, so that a crash is detected soon, but longer than a loaded machine pauses a process. */
export const brokerSessionMs = 3_000;

/** Returns settings that make the cluster detect a crashed broker and delete old records within seconds. */
export function quick(sessionMs: number): Record<string, string> {
  return {
    'broker.session.timeout.ms': `${sessionMs}`,
    'broker.heartbeat.interval.ms': `${Math.round(sessionMs / 5)}`,
    'controller.quorum.fetch.timeout.ms': `${Math.round(sessionMs * 0.7)}`,
    'controller.quorum.election.timeout.ms': `${Math.round(sessionMs * 0.3)}`,
    'log.retention.check.interval.ms': '5000',
    'log.cleaner.backoff.ms': '1000',
  };
}

/** Settings that let several brokers run on a small machine. */
export const small = {
  'num.network.threads': '2',
  'num.io.threads': '4',
  'num.replica.fetchers': '1',
  'background.threads': '2',
  'log.cleaner.threads': '1',
  'log.cleaner.dedupe.buffer.size': '8388608',
  'log.index.size.max.bytes': '1048576',
};

function lines(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings).reduce((text, [name, value]) => `${text}${name}=${value}\n`, '');
}

/** Returns a formatted data folder of `version`, made once: formatting takes seconds and a JVM for each broker. */
async function formatted(version: KafkaVersion, jars: string): Promise<string> {
  return cached({
    name: `${path.basename(jars)}-formatted`,
    async make(folder) {
      const file = path.join(folder, 'server.properties');
      const ports = [{ PLAINTEXT: 1, CONTROLLER: 2 }];
      const settings = settingsOf({ dir: folder, version, ports, sessionMs: brokerSessionMs, settings: {} }, 0);
      await mkdir(path.join(folder, 'broker-1'));
      await writeFile(file, lines(settings));
      const scram = ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((how) =>
        Object.entries(users).flatMap(([user, password]) => [
          '--add-scram',
          `${how}=[name=${user},password=${password}]`,
        ]),
      );
      const format = ['kafka.tools.StorageTool', 'format', '-t', 'AAAAAAAAAAAAAAAAAAAAAA', '-c', file, ...scram];
      await run('java', [...lightly, '-cp', `${jars}/*`, ...format]);
    },
  });
}

async function copyFormatted(template: string, to: string, cluster: string, id: number): Promise<void> {
  const from = path.join(template, 'broker-1');
  await mkdir(to);
  await copyFile(path.join(from, 'bootstrap.checkpoint'), path.join(to, 'bootstrap.checkpoint'));
  const properties = await readFile(path.join(from, 'meta.properties'), 'utf8');
  const own = { 'cluster.id': cluster, 'node.id': `${id}`, 'directory.id': randomBytes(16).toString('base64url') };
  const changed = Object.entries(own).reduce(
    (text, [name, value]) => text.replace(new RegExp(`^${name}=.*$`, 'm'), `${name}=${value}`),
    properties,
  );
  await writeFile(path.join(to, 'meta.properties'), changed);
}
