/** A suite with a ZooKeeper server that starts in a second and that the suite can kill and freeze. */
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
  /** `host:port`; set before the first test. */
  readonly connect: string;
  /** The same for TLS; '' without it. */
  readonly secure: string;
  readonly ns: string;
  /** Throws when the server was given by ZOOKEEPER. */
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
  // The caller passes the names of the tests.
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
        if (server === undefined) throw new Error('the server is started before the first test');
        return server;
      },
    });
  });
}

/** Waits until the server accepts sessions: it answers before that, and rejects the first clients. */
async function served(connect: string): Promise<void> {
  const around = { clock: systemClock, random: systemRandom, notices: openNotices() };
  await (await openZookeeper({ ...around, connect, ns: 'served', sessionMs: 60_000 })).close();
}
