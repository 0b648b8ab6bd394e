/** A suite on a ZooKeeper of its own, which it may kill and freeze, and which starts in a second. */
import { randomBytes } from 'node:crypto';
import { systemClock, systemRandom } from '../../src/base/clock';
import { openNotices } from '../../src/base/notices';
import { openZookeeper } from '../../src/zookeeper/open';
import { freePorts } from '../cluster/ports';
import { zookeeperTls } from '../cluster/security';
import type { Server } from '../cluster/server';
import { startWatchdog, type Watchdog } from '../cluster/watchdog';
import { makeZookeeper } from '../cluster/zookeeper';

export interface ZookeeperSuite {
  /** `host:port`; there from the first test on. */
  readonly connect: string;
  /** The same for TLS; '' without it. */
  readonly secure: string;
  readonly ns: string;
  /** Not there where the server was given by ZOOKEEPER. */
  readonly server: Server;
}
export interface SuiteOptions {
  /** It kills or freezes the server: skipped on one that was given. */
  readonly faults?: boolean;
  /** It needs a port for TLS, with the keys of `makeClientKeys`: skipped on a server that was given. */
  readonly tls?: boolean;
}

/** Like `describe`; skipped without Java, as the Kafka suites are. */
export function zookeeperSuite(name: string, body: (suite: ZookeeperSuite) => void, options: SuiteOptions = {}): void {
  const { TEST_CLUSTER_TOOLS: java, ZOOKEEPER: given = '' } = process.env;
  const runs = given === '' ? java === '1' : !options.faults && !options.tls;
  let [connect, watchdog, server]: [string, Watchdog?, Server?] = [given];
  let secure = '';
  // The names of the tests come from the caller.
  // oxlint-disable-next-line jest/valid-describe-callback, jest/valid-title
  (runs ? describe : describe.skip)(name, () => {
    beforeAll(async () => {
      if (given !== '') return;
      const [port = 0, securePort = 0] = await freePorts(2);
      watchdog = startWatchdog();
      if (options.tls) secure = `127.0.0.1:${securePort}`;
      const made = await makeZookeeper(watchdog.dir, port, options.tls ? await zookeeperTls(securePort) : {});
      [server, connect] = [made, `127.0.0.1:${port}`];
      await made.start();
      await served(connect);
    }, 120_000);
    afterAll(async () => {
      await server?.kill();
      await watchdog?.end();
    });
    body({
      ns: `t${randomBytes(4).toString('hex')}`,
      get connect() {
        return connect;
      },
      get secure() {
        return secure;
      },
      get server() {
        if (server === undefined) throw new Error('the server is there from the first test on');
        return server;
      },
    });
  });
}

/** It answers before it serves; whoever comes too early is turned away. */
async function served(connect: string): Promise<void> {
  const around = { clock: systemClock, random: systemRandom, notices: openNotices() };
  await (await openZookeeper({ ...around, connect, ns: 'served', sessionMs: 60_000 })).close();
}
