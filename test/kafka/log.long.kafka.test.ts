/** The log and its groups under load while servers freeze, stop answering and restart in turn. */
import { openHole, type Hole } from '../cluster/hole';
import { kafkaSuite } from '../cluster/suite';
import { later, type LogScene } from '../support/append-ledger';
import { eachLogScene } from '../support/cluster-scenes';

jest.setTimeout(240_000);

kafkaSuite(
  'the log on a cluster with long faults',
  (suite) => {
    let scene: LogScene;
    let hole: Hole | undefined;
    afterEach(() => hole?.close());
    eachLogScene(suite, (opened) => (scene = opened));

    test('a leader frozen for 15 s is replaced, and its return breaks nothing', async () => {
      const server = suite.cluster.broker(await scene.leaderOf(1));
      await server.freeze();
      const thawed = later(15_000).then(() => server.thaw());
      await scene.goesOn(300);
      await thawed;
      await scene.goesOn(500);
      expect(await scene.faults()).toEqual([]);
    });

    test('a server that never answers at the address of a broker stops no work', async () => {
      const node = await scene.leaderOf(1);
      await suite.cluster.broker(node).kill();
      const port = suite.cluster.brokers.split(',')[node - 1]?.split(':')[1];
      hole = await openHole(Number(port));
      await scene.goesOn(300);
      expect(hole.visitors).toBeGreaterThan(0);
      await hole.close();
      await suite.cluster.mend();
      await scene.goesOn(300);
      expect(await scene.faults()).toEqual([]);
    });

    test('brokers restarted in turn lose no resolved record and repeat no committed one', async () => {
      for (const node of [1, 2, 3]) {
        await suite.cluster.broker(node).restart();
        await scene.goesOn(300);
      }
      expect(await scene.faults()).toEqual([]);
    });
  },
  { alone: true },
);
