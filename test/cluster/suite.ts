/** A suite on real servers: skipped where there are none, in a namespace of its own, with others or alone. */
import { randomBytes } from 'node:crypto';
import type { Cluster } from './cluster';
import { clusterAt, takeTurn } from './control';

export interface KafkaSuite {
  /** There from the first test on. */
  readonly cluster: Cluster;
  /** Before the names of topics, groups and nodes. */
  readonly namespace: string;
}

export interface SuiteOptions {
  /** It kills or freezes servers: no other suite runs meanwhile, and all servers are brought back after it. */
  readonly alone?: boolean;
  /** It needs what only servers from jars have: listeners with TLS and SASL. */
  readonly jars?: boolean;
  /** It needs Java and the jars for itself: Kafka's own tools, or servers of its own. */
  readonly tools?: boolean;
}

/** Like `describe`. Servers are started when the first suite asks for them. */
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
