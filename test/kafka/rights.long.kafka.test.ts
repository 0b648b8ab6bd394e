/** Permissions on a cluster that grants none by default. Runs the commands of docs/kafka.md as they are documented. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { shop } from '../bus/contract';
import { openScene, type Scene } from '../bus/processes';
import { startCluster, type Cluster } from '../cluster/cluster';
import { kafkaSuite } from '../cluster/suite';
import { runTool } from '../cluster/tools';

const settings = {
  'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
  'super.users': 'User:ANONYMOUS', // the broker itself, and the tools
};

/** Returns the arguments of each `kafka-acls.sh` in docs/kafka.md, for namespace `ns` and the user alice. */
function grants(ns: string): string[][] {
  const page = readFileSync(join(__dirname, '../../docs/kafka.md'), 'utf8').replaceAll('\\\n', ' ');
  const lines = page.split('\n').filter((line) => line.startsWith('kafka-acls.sh '));
  return lines.map((line) => {
    const given = line.replaceAll('User:busbar', 'User:alice').replaceAll(' main.', ` ${ns}.`);
    return given.split(/\s+/).slice(1);
  });
}

kafkaSuite(
  'a user of a cluster without default permissions',
  ({ namespace: ns }) => {
    let cluster: Cluster;
    let scene: Scene;
    const dir = mkdtempSync(join(tmpdir(), 'busbar-rights-'));
    const passwordFile = join(dir, 'password');
    beforeAll(async () => {
      cluster = await startCluster({ brokers: 1, zookeeper: true, listeners: ['SASL_PLAINTEXT'], settings });
      writeFileSync(passwordFile, cluster.users['alice'] ?? '');
    });
    beforeEach(() => {
      const { listeners, zookeeper } = cluster;
      const brokers = (listeners.SASL_PLAINTEXT ?? '').split(',');
      const user = { saslMechanism: 'PLAIN', saslUsername: 'alice', saslPasswordFile: passwordFile } as const;
      const login = { ...user, credentialsWithoutTls: true };
      scene = openScene({ transport: 'kafka', brokers, zookeeper, ns, sessionMs: 10_000, ...login });
    });
    afterEach(() => scene.close());
    afterAll(async () => {
      rmSync(dir, { recursive: true, force: true });
      await cluster.close();
    });

    test('is rejected with NotAllowed and the name of the resource', async () => {
      await expect(scene.open('web')).rejects.toMatchObject({
        code: 'NotAllowed',
        message: expect.stringContaining(ns),
      });
    });

    test('can use every verb with the permissions of docs/kafka.md', async () => {
      const commands = grants(ns);
      expect(commands).toHaveLength(2);
      for (const args of commands) await runTool(cluster, 'acls', args);
      const bus = await scene.open('web');
      await scene.start();
      const heard: string[] = [];
      await bus.listen(shop.sold, { as: 'books' }, ({ order }) => void heard.push(order));
      expect(await bus.request(shop.twice, { n: 2 })).toBe(4);
      await bus.submit(shop.pack, { order: 'o1', n: 1 });
      await bus.broadcast(shop.shut, { n: 7 });
      await bus.publish(shop.sold, { order: 'o2' });
      await scene.until(() => heard.length === 1, 60_000);
      await scene.until(() => scene.ledger().some((line) => line.startsWith('packed')), 60_000);
      await scene.until(() => scene.ledger().includes('shut 7'), 60_000);
    });
  },
  { tools: true },
);
