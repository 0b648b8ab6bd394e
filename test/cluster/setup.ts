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
  const kafka = (process.env.BUSBAR_KAFKA_VERSION ?? '4.1') as KafkaVersion; // another one has no jars, and says so
  const why = given === undefined ? await whyNoJava(kafka) : undefined;
  if (why !== undefined) return skip(why);
  const start = () => startCluster({ kafka, zookeeper: true, listeners: ['SASL_PLAINTEXT', 'SSL', 'SASL_SSL'] });
  globalThis.busbarCluster = await serveCluster(() => (given === undefined ? start() : Promise.resolve(given)));
  process.env.BUSBAR_CLUSTER = globalThis.busbarCluster.url;
}

function skip(why: string): void {
  const line = `the Kafka suites need KAFKA_BROKERS, or Java 17 and Maven: ${why}`;
  if (process.env.BUSBAR_REQUIRE_KAFKA === '1') throw new Error(line);
  progress(`skipped: ${line}`);
}
