/** Before the Kafka suites of a run: finds out whether there can be servers; the first suite that asks starts them. */
import { givenCluster, type KafkaVersion, startCluster } from './cluster';
import { type Served, serveCluster } from './control';
import { progress, whyNoJava } from './jars';

declare global {
  /** From setup to teardown of one run of jest. */
  var busbarCluster: Served | undefined;
}

export default async function setup(): Promise<void> {
  const given = givenCluster(process.env);
  // What is for the run alone goes out of the environment: to a bus that a test opens it would be an unknown option.
  const { BUSBAR_KAFKA_VERSION: version = '4.1', BUSBAR_REQUIRE_KAFKA: required } = process.env;
  delete process.env.BUSBAR_KAFKA_VERSION;
  delete process.env.BUSBAR_REQUIRE_KAFKA;
  const kafka = version as KafkaVersion; // another one has no jars, and says so
  const why = given === undefined ? await whyNoJava(kafka) : undefined;
  if (why !== undefined) return skip(why, required === '1');
  const start = () => startCluster({ kafka, zookeeper: true, listeners: ['SASL_PLAINTEXT', 'SSL', 'SASL_SSL'] });
  globalThis.busbarCluster = await serveCluster(() => (given === undefined ? start() : Promise.resolve(given)));
  process.env.TEST_CLUSTER = globalThis.busbarCluster.url;
}

function skip(why: string, isRequired: boolean): void {
  const line = `the Kafka suites need KAFKA_BROKERS, or Java 17 and Maven: ${why}`;
  if (isRequired) throw new Error(line);
  progress(`skipped: ${line}`);
}
