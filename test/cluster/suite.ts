/** A suite on real servers: skipped without servers, in its own namespace, beside other suites or alone. */
import { randomBytes } from 'node:crypto';
import type { Cluster } from './cluster';
import { clusterAt, takeTurn } from './control';

export interface KafkaSuite {
  /** Available from the first test on. */
  readonly cluster: Cluster;
  /** Prefix of the names of topics, groups and nodes. */
  readonly namespace: string;
}

export interface SuiteOptions {
  /** Set if the suite kills or freezes servers: no other suite runs meanwhile, and the cluster is repaired after it. */
  readonly alone?: boolean;
  /** Set if the suite needs listeners with TLS and SASL, which only servers from jars have. */
  readonly jars?: boolean;
  /** Set if the suite needs Java and the jars: it runs Kafka's tools, or starts additional servers. */
  readonly tools?: boolean;
}

/** Declares a suite, as `describe` does. The first suite that runs starts the servers. */
export function kafkaSuite(name: string, body: (suite: KafkaSuite) => void, options: SuiteOptions = {}): void {
  const { TEST_CLUSTER: url = '', TEST_CLUSTER_MAKER: maker, TEST_CLUSTER_TOOLS: java } = process.env;
  const { alone = false, jars = false, tools = false } = options;
  const lacks = (alone && maker === 'given') || (jars && maker !== 'jars') || (tools && java !== '1');
  const runs = url !== '' && !lacks;
  // The names of the tests come from the caller.
  // oxlint-disable-next-line jest/valid-describe-callback, jest/valid-title
  (runs ? describe : describe.skip)(name, () => {
    let cluster: Cluster | undefined;
    let giveBack = (): void => undefined;
    beforeAll(async () => {
      giveBack = await takeTurn(url, alone);
      cluster = await clusterAt(url);
    }, 900_000);
    afterAll(() => giveBack());
    body({
      namespace: `t${randomBytes(4).toString('hex')}`,
      get cluster() {
        if (cluster === undefined) throw new Error('the cluster is there from the first test on');
        return cluster;
      },
    });
  });
}
