/** Jobs between processes while every broker restarts, and while all are down: none is lost, and work continues. */
import { kafkaSuite } from '../cluster/suite';
import { shop } from '../bus/contract';
import type { Scene } from '../bus/processes';
import { eachJobScene } from '../support/cluster-scenes';
import { until, type Jobs } from './jobs';

jest.setTimeout(300_000);

kafkaSuite(
  'work on a cluster with long faults',
  (suite) => {
    let scene: Scene;
    let jobs: Jobs;
    eachJobScene(suite, 6_000, (...opened) => ([scene, jobs] = opened));

    test('brokers restarted in turn lose no accepted job and repeat no settled one', async () => {
      await Promise.all([scene.start(), scene.start()]);
      jobs.start(await scene.open('web'));
      await jobs.goesOn(200, 20_000);
      for (const broker of [1, 2, 3]) {
        await suite.cluster.broker(broker).restart();
        await jobs.goesOn(500, 40_000);
      }
      expect(await jobs.audit()).toEqual([]);
    });

    test('jobs end in Unreachable while all brokers are down for 30 s, and continue afterwards', async () => {
      const shops = await Promise.all([scene.start(), scene.start()]);
      const bus = await scene.open('web');
      const gone: string[] = [];
      bus.watch((notice) => notice.type === 'instance' && notice.change === 'gone' && gone.push(notice.instance));
      jobs.start(bus);
      await jobs.goesOn(200, 20_000);
      const began = performance.now();
      await Promise.all([1, 2, 3].map((broker) => suite.cluster.broker(broker).kill()));
      while (performance.now() - began < 30_000)
        expect(await bus.tryRequest(shop.who)).toMatchObject({ error: { code: 'Unreachable' } });
      await until(
        () => jobs.unknown.length > 0,
        15_000,
        () => 'a job ends as Unreachable',
      );
      await suite.cluster.mend();
      await jobs.goesOn(500, 60_000);
      const answered = new Set<string>();
      await until(
        async () => answered.add(await bus.request(shop.who)).size === shops.length,
        20_000,
        () => `both answer; ${[...answered].join()} did`,
      );
      expect([...answered].sort()).toEqual(shops.map(({ instance }) => instance).sort());
      expect(gone).toEqual([]);
      expect(await jobs.audit()).toEqual([]);
    });
  },
  { alone: true },
);
