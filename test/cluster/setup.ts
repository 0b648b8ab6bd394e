/** Jest's global setup: determines whether servers can be started. The first Kafka suite of the run starts them. */
import { givenCluster, startCluster, type Cluster } from './cluster';
import { type Served, serveCluster } from './control';
import { hasDocker, startDockerCluster } from './docker';
import { progress, type KafkaVersion, whyNoJava } from './jars';

declare global {
  /** Set from setup to teardown of one Jest run. */
  var busbarCluster: Served | undefined;
}

/** Origin of the servers: named by KAFKA_BROKERS, in Docker, or processes started from jars. */
export type Maker = 'given' | 'docker' | 'jars';

export default async function setup(): Promise<void> {
  // Variables of the run leave the environment: a bus that a test opens would reject them as unknown options.
  const { BUSBAR_KAFKA_VERSION: version = '4.1', BUSBAR_REQUIRE_KAFKA: required } = process.env;
  delete process.env.BUSBAR_KAFKA_VERSION;
  delete process.env.BUSBAR_REQUIRE_KAFKA;
  const found = await findMaker(version as KafkaVersion); // for an unknown version it finds no jars
  if (typeof found === 'string') return skip(found, required === '1');
  globalThis.busbarCluster = await serveCluster(found.start);
  process.env.TEST_CLUSTER = globalThis.busbarCluster.url;
  process.env.TEST_CLUSTER_MAKER = found.maker;
  process.env.TEST_CLUSTER_TOOLS = (await whyNoJava('4.1')) === undefined ? '1' : '';
}

/** Returns the reason as text when no servers can be started. */
async function findMaker(
  kafka: KafkaVersion,
): Promise<string | { readonly maker: Maker; readonly start: () => Promise<Cluster> }> {
  const given = givenCluster(process.env);
  if (given !== undefined) return { maker: 'given', start: () => Promise.resolve(given) };
  if (await hasDocker()) return { maker: 'docker', start: () => startDockerCluster(kafka) };
  const why = await whyNoJava(kafka);
  if (why !== undefined) return why;
  const listeners = ['SASL_PLAINTEXT', 'SSL', 'SASL_SSL'] as const;
  return { maker: 'jars', start: () => startCluster({ kafka, zookeeper: true, listeners }) };
}

function skip(why: string, isRequired: boolean): void {
  const line = `the Kafka suites need KAFKA_BROKERS and ZOOKEEPER, or Docker, or Java 17 and Maven: ${why}`;
  if (isRequired) throw new Error(line);
  progress(`skipped: ${line}`);
}
