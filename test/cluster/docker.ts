/** Starts the servers of docker-compose.yml as a test cluster: an own project on free ports, removed after the run. */
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Cluster } from './cluster';
import { progress, versions, type KafkaVersion } from './jars';
import { brokerSessionMs, quick, small } from './kafka';
import { brokersKnownAt, freePorts, until } from './ports';
import type { Server } from './server';

const run = promisify(execFile);
const brokerNames = ['kafka-1', 'kafka-2', 'kafka-3'] as const;
const names = [...brokerNames, 'zookeeper'] as const;
/** Includes the time to pull the images. */
const upMs = 900_000;
const verbMs = 60_000;

/** Returns whether a Docker daemon with compose responds. */
export async function hasDocker(): Promise<boolean> {
  const answers = [
    ['compose', 'version'],
    ['info', '--format', '{{.ServerVersion}}'],
  ].map((args) => run('docker', args, { timeout: 10_000 }));
  return Promise.all(answers).then(
    () => true,
    () => false,
  );
}

/** Starts three brokers and ZooKeeper, without TLS and SASL. Resolves when every broker serves and lists the others. */
export async function startDockerCluster(kafka: KafkaVersion): Promise<Cluster> {
  const began = performance.now();
  const ports = await freePorts(names.length);
  const [one = 0, two = 0, three = 0, zookeeperPort = 0] = ports;
  const dir = await mkdtemp(path.join(os.tmpdir(), 'busbar-docker-'));
  const faster = path.join(dir, 'quick.json'); // compose reads YAML, and JSON is YAML
  await writeFile(faster, JSON.stringify({ services: servicesOf() }));
  const project = `busbar-test-${randomBytes(4).toString('hex')}`;
  const compose = ['compose', '-p', project, '-f', path.join(__dirname, '../../docker-compose.yml'), '-f', faster];
  const env = {
    ...process.env,
    KAFKA_VERSION: versions[kafka],
    KAFKA_1_PORT: `${one}`,
    KAFKA_2_PORT: `${two}`,
    KAFKA_3_PORT: `${three}`,
    ZOOKEEPER_PORT: `${zookeeperPort}`,
  };
  const ask = async (timeout: number, ...args: readonly string[]): Promise<unknown> =>
    run('docker', [...compose, ...args], { env, timeout });
  const close = endWithUs([...compose, 'down', '--volumes', '--timeout', '0'], env, dir);

  const whole = (): Promise<void> =>
    until('all brokers know each other', verbMs, async () => {
      const known = await Promise.all([one, two, three].map(brokersKnownAt));
      return known.every((n) => n === brokerNames.length);
    });
  const mend = async (): Promise<void> => {
    await ask(verbMs, 'unpause', ...names).catch(() => undefined); // fails for servers that are not frozen
    await ask(upMs, 'up', '--detach', '--wait', ...names);
    await whole();
  };
  const server = (name: string): Server => ({
    kill: async () => void (await ask(verbMs, 'kill', '--signal', 'KILL', name)),
    stop: async () => void (await ask(verbMs, 'stop', '--timeout', '20', name)),
    freeze: async () => void (await ask(verbMs, 'pause', name)),
    thaw: async () => void (await ask(verbMs, 'unpause', name)),
    fill: () => Promise.reject(new Error('a disk in Docker cannot be filled: use the servers from jars')),
    restart: async () => {
      await ask(verbMs, 'stop', '--timeout', '20', name);
      await ask(verbMs, 'up', '--detach', '--wait', name);
    },
  });
  try {
    await mend();
  } catch (error) {
    await close();
    throw error;
  }
  progress(`Kafka ${kafka} × 3 and ZooKeeper in Docker after ${Math.round(performance.now() - began)} ms`);
  const brokers = [one, two, three].map((port) => `127.0.0.1:${port}`).join();
  return {
    brokers,
    listeners: { PLAINTEXT: brokers },
    zookeeper: `127.0.0.1:${zookeeperPort}`,
    caFile: '',
    users: {},
    isOurs: true,
    broker: (id) => server(`kafka-${id}`),
    zookeeperServer: server('zookeeper'),
    mend,
    close,
  };
}

/** Gives the brokers the short timeouts and small buffers of those from jars, and disables Docker's restart policy. */
function servicesOf(): Record<string, object> {
  const settings = { ...quick(brokerSessionMs), ...small, 'group.min.session.timeout.ms': '500' };
  const environment = Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [`KAFKA_${name.toUpperCase().replaceAll('.', '_')}`, value]),
  );
  const brokers = brokerNames.map((name) => [name, { environment, restart: 'no' }] as const);
  return { ...Object.fromEntries(brokers), zookeeper: { restart: 'no' } };
}

/** Runs `docker` with `args` and removes `dir` when the returned function is called, or when this process has ended. */
function endWithUs(args: readonly string[], env: NodeJS.ProcessEnv, dir: string): () => Promise<void> {
  const script = 'cat >/dev/null; docker "$@"; rm -rf "$0"';
  const child = spawn('sh', ['-c', script, dir, ...args], {
    detached: true,
    env,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const gone = once(child, 'exit');
  child.unref();
  return async () => {
    child.ref();
    child.stdin.end();
    await gone;
  };
}
