/** The log and its groups while servers freeze, fall silent and restart one after the other, under load. */
import { openHole, type Hole } from '../cluster/hole';
import { kafkaSuite } from '../cluster/suite';
import { later, LogScene } from './logscene';

jest.setTimeout(240_000);

kafkaSuite(
  'the log on a cluster in trouble for long',
  (suite) => {
    let scene: LogScene;
    let scenes = 0;
    let hole: Hole | undefined;
    beforeEach(async () => {
      const name = `${suite.namespace}.f${++scenes}.work`;
      scene = new LogScene(suite.cluster.brokers, name, name);
      await scene.start();
    });
    afterEach(async () => {
      await hole?.close();
      hole = undefined;
      await suite.cluster.mend();
      await scene.close();
    });

    test('the leader of a partition is frozen for 15 s: others take over, and its return does no harm', async () => {
      const server = suite.cluster.broker(await scene.leaderOf(1));
      await server.freeze();
      const thawed = later(15_000).then(() => server.thaw());
      await scene.goesOn(300);
      await thawed;
      await scene.goesOn(500);
      expect(await scene.faults()).toEqual([]);
    });

    test('in place of a broker somebody accepts and never answers: all goes on with the others', async () => {
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

    test('every broker is restarted in turn: nothing resolved is missing, nothing committed is handled twice', async () => {
      for (const node of [1, 2, 3]) {
        await suite.cluster.broker(node).restart();
        await scene.goesOn(300);
      }
      expect(await scene.faults()).toEqual([]);
    });
  },
  { alone: true },
);
