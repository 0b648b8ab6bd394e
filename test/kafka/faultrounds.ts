/** Fault rounds on a real cluster: the profiles, the faults, and one round from its start to its report. */
import { type Cluster, startCluster } from '../cluster/cluster';
import type { Load } from './faultcontract';
import type { Report } from './faultreport';
import { FaultScene } from './faultscene';
import { KafkaError } from '../../src/kafka/protocol/errors';
import { openRealClient } from '../support/kafka-log-ports';

export interface Profile {
  readonly load: Load;
  /** Session of the buses. */
  readonly sessionMs: number;
  /** Session of the brokers. */
  readonly brokerSessionMs: number;
  readonly settings?: Readonly<Record<string, string>>;
}

/** Profiles of the fault suites: the first reveals missed wake-ups, the second reveals races more often. */
export const profiles = {
  light: {
    load: { jobsPerSecond: 40, keys: 12, requestsPerSecond: 2.5, broadcastsPerSecond: 1, jobMs: 5 },
    sessionMs: 10_000,
    brokerSessionMs: 9_000,
    // Kafka's own defaults, which the test cluster shortens with the session.
    settings: {
      'broker.heartbeat.interval.ms': '2000',
      'controller.quorum.fetch.timeout.ms': '2000',
      'controller.quorum.election.timeout.ms': '1000',
      'group.initial.rebalance.delay.ms': '3000',
    },
  },
  load: {
    load: { jobsPerSecond: 100, keys: 12, requestsPerSecond: 20, broadcastsPerSecond: 5, jobMs: 5 },
    sessionMs: 6_000,
    brokerSessionMs: 3_000,
  },
} as const satisfies Readonly<Record<string, Profile>>;

export interface Around {
  readonly cluster: Cluster;
  readonly scene: FaultScene;
  readonly ns: string;
  readonly profile: Profile;
}
/** Runs one fault. Resolves when all servers run again. */
export type Fault = (around: Around) => Promise<void>;

export const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const downMs = 30_000;

export const faults = {
  /** Kills all brokers, and restarts them 30 s later. */
  all: async ({ cluster }) => {
    await Promise.all([1, 2, 3].map((broker) => cluster.broker(broker).kill()));
    await later(downMs);
    await cluster.mend();
  },
  /** Fills the disk of one broker, which ends by itself, and restarts it with free space 30 s later. */
  disk: async ({ cluster, ns }) => {
    const leader = await leaderOf(cluster, `${ns}.ledger.work`, 0);
    await cluster.broker(leader).fill();
    await later(downMs);
    await cluster.broker(leader).restart();
    await cluster.mend();
  },
  /** Kills the coordinator of the workers' group, and restarts it 30 s later. */
  coordinator: async ({ cluster, ns }) => {
    const node = await asked(cluster, (client) => client.findCoordinator(`${ns}.ledger.work`));
    await cluster.broker(node).kill();
    await later(downMs);
    await cluster.mend();
  },
  /** Kills the leader of a partition of the jobs, and restarts it 30 s later. */
  leader: async ({ cluster, ns }) => {
    await cluster.broker(await leaderOf(cluster, `${ns}.ledger.work`, 0)).kill();
    await later(downMs);
    await cluster.mend();
  },
  /** Freezes the leader of a partition of the jobs for 30 s; its connections stay open. */
  frozen: async ({ cluster, ns }) => {
    const broker = cluster.broker(await leaderOf(cluster, `${ns}.ledger.work`, 0));
    await broker.freeze();
    await later(downMs);
    await broker.thaw();
    await cluster.mend();
  },
  /** Kills ZooKeeper, and restarts it 30 s later. */
  zookeeper: async ({ cluster }) => {
    await cluster.zookeeperServer.kill();
    await later(downMs);
    await cluster.mend();
  },
  /** Kills a worker, and starts another one immediately. */
  'worker-killed': async ({ scene }) => {
    scene.workers[0]?.signal('SIGKILL');
    await scene.start('worker');
  },
  /** Stops a worker for 1.5 of its session, and continues it. */
  'worker-stopped': async ({ scene, profile }) => {
    scene.workers[0]?.signal('SIGSTOP');
    await later(profile.sessionMs * 1.5);
    scene.workers[0]?.signal('SIGCONT');
  },
  /** Closes and replaces each worker in turn. */
  'workers-restarted': async ({ scene }) => {
    for (const worker of Array.from(scene.workers)) {
      await scene.start('worker');
      await worker.close();
    }
  },
} as const satisfies Readonly<Record<string, Fault>>;

const probePartitions = 12;
const probeMs = 1_000;
/**
 * Resolves when each partition of a topic accepts a record on all in-sync replicas, and the coordinator of the workers'
 * group answers. Restarted brokers return outdated metadata for seconds.
 */
async function worksAgain({ cluster, ns }: Around): Promise<void> {
  const topic = `${ns}.probe`;
  await asked(cluster, async (client) => {
    for (;;) {
      try {
        const { topics, controller } = await client.metadata([topic], probeMs);
        if (topics[0]?.error)
          await client.createTopics(
            { node: controller, channel: 'admin' },
            [{ name: topic, partitions: probePartitions, replicas: 3, configs: { 'min.insync.replicas': '2' } }],
            probeMs,
          );
        const partitions = topics[0]?.partitions ?? [];
        const records = [{ key: null, value: Buffer.from('probe'), headers: {} }];
        const answers = await Promise.all(
          partitions.map(async ({ partition, leader }) => {
            const at = { node: leader ?? -1, channel: 'admin' } as const;
            return (await client.produce(at, [{ topic, partition, records }], probeMs))[0]?.error;
          }),
        );
        const node = await client.findCoordinator(`${ns}.ledger.work`, probeMs);
        await client.offsetFetch({ node, channel: 'admin' }, `${ns}.ledger.work`, null, probeMs);
        if (answers.length === probePartitions && answers.every((error) => error === null)) return;
      } catch (error) {
        if (!(error instanceof KafkaError)) throw error;
      }
      await later(100);
    }
  });
}

/** Returns the broker that leads the partition. */
export async function leaderOf(cluster: Cluster, topic: string, partition: number): Promise<number> {
  const { topics } = await asked(cluster, (client) => client.metadata([topic]));
  const leader = topics[0]?.partitions[partition]?.leader;
  if (leader == null) throw new Error(`no broker leads ${topic}/${partition}`);
  return leader;
}
async function asked<T>(
  cluster: Cluster,
  question: (client: ReturnType<typeof openRealClient>) => Promise<T>,
): Promise<T> {
  const client = openRealClient(cluster.brokers, 'looker');
  try {
    return await question(client);
  } finally {
    await client.close();
  }
}

/** Starts a cluster with the broker session of the profile. Profiles with another session need another cluster. */
export function clusterOf(profile: Profile): Promise<Cluster> {
  const { brokerSessionMs: sessionMs, settings = {} } = profile;
  return startCluster({ zookeeper: true, sessionMs, settings });
}

export interface Round {
  readonly cluster: Cluster;
  readonly profile: Profile;
  readonly fault: Fault;
  /** A namespace that no other round uses. */
  readonly ns: string;
  /** Folder that keeps the ledger. @default a folder that is removed after the round */
  readonly dir?: string;
  /** @default 4000 */
  readonly beforeMs?: number;
  /** @default 20000, twice `lateMs` */
  readonly afterMs?: number;
}

/** If jobs wait for longer before the fault, the machine is overloaded. The load is then halved, at most three times. */
const keepsUpMs = 1_000;
const slowerMax = 3;

/** Runs two workers and two senders, the fault after `beforeMs`, and the load for another `afterMs` after it. */
export async function runRound(round: Round): Promise<Report> {
  const { cluster, profile, fault, ns, dir, beforeMs = 4_000, afterMs = 20_000 } = round;
  const { brokers, zookeeper } = cluster;
  const bus = { transport: 'kafka', brokers: brokers.split(','), zookeeper, ns, sessionMs: profile.sessionMs } as const;
  const scene = new FaultScene({ bus, load: profile.load, ...(dir !== undefined && { dir }) });
  try {
    await Promise.all([scene.start('worker'), scene.start('worker')]);
    await Promise.all([scene.start('sender'), scene.start('sender')]);
    await later(beforeMs);
    // The round judges the fault, so the load is reduced to a rate that the machine can handle without it.
    for (let tries = 0; scene.waitMs() > keepsUpMs && tries < slowerMax; tries++) {
      scene.slower();
      await later(beforeMs);
    }
    scene.fault();
    await fault({ cluster, scene, ns, profile });
    await worksAgain({ cluster, scene, ns, profile });
    scene.whole();
    await later(afterMs);
    return await scene.finish(60_000);
  } finally {
    await scene.close();
    await cluster.mend();
  }
}
