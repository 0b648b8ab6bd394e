/** Requests while servers die and are down: typed errors, no false departures, and a complete recovery. */
import { kafkaSuite } from '../cluster/suite';
import { shop } from '../bus/contract';
import type { Scene } from '../bus/processes';
import { livedMs } from '../elapsed';
import { eachBusScene } from '../support/cluster-scenes';
import { load } from './callers';

/** A process or a server that pauses for less than this does not count as lost. */
const sessionMs = 6_000;

kafkaSuite(
  'requests on a cluster with faults',
  (suite) => {
    let scene: Scene;
    eachBusScene(suite, sessionMs, (opened) => (scene = opened));

    test('a killed broker delays requests, but loses no request and no instance', async () => {
      await Promise.all([scene.start(), scene.start()]);
      const bus = await scene.open('web');
      const lost: string[] = [];
      bus.watch((notice) => notice.type === 'instance' && notice.change === 'gone' && lost.push(notice.instance));
      const { ends, more, stop } = load(() => bus.tryRequest(shop.slow, { ms: 2 }, { timeoutMs: 30_000 }));
      await more(200, 60_000);
      await suite.cluster.broker(2).kill();
      await more(500, 90_000);
      await suite.cluster.mend();
      await more(500, 90_000);
      await stop();
      expect([...ends.keys()]).toEqual(['ok']);
      expect(lost).toEqual([]);
    });

    test('without brokers a request ends in Unreachable at its deadline, and never starts later', async () => {
      await scene.start();
      const bus = await scene.open('web');
      expect(await bus.request(shop.twice, { n: 1 })).toBe(2);
      await Promise.all([1, 2, 3].map((broker) => suite.cluster.broker(broker).kill()));
      const asked = async (): Promise<void> => {
        const numbers = Array.from({ length: 20 }, (_, n) => 100 + n);
        const results = await Promise.all(numbers.map((n) => bus.tryRequest(shop.twice, { n }, { timeoutMs: 3_000 })));
        for (const result of results) expect(result).toMatchObject({ error: { code: 'Unreachable' } });
      };
      expect(await livedMs(asked())).toBeLessThan(3_500);
      expect(
        await bus.broadcast(shop.shut, { n: 1 }).then(
          () => 'sent',
          (error: { code: string }) => error.code,
        ),
      ).toBe('Unreachable');
      await suite.cluster.mend();
      await scene.until(() => bus.health().ready, 60_000);
      const again = await bus.tryRequest(shop.twice, { n: 2 }, { timeoutMs: 30_000 });
      expect(again).toEqual({ ok: true, value: 4 });
      expect(scene.ledger().filter((line) => line.startsWith('twice'))).toEqual(['twice 1', 'twice 2']);
    });

    test('requests reach the last known instances while ZooKeeper is down', async () => {
      await Promise.all([scene.start(), scene.start()]);
      const bus = await scene.open('web');
      const { ends, more, stop } = load(() => bus.tryRequest(shop.slow, { ms: 2 }, { timeoutMs: 30_000 }));
      await more(200, 60_000);
      await suite.cluster.zookeeperServer.kill();
      const start = performance.now();
      while (performance.now() - start < 2.5 * sessionMs) await more(200, 60_000);
      await suite.cluster.mend();
      await more(200, 60_000);
      await stop();
      expect([...ends.keys()]).toEqual(['ok']);
    });
  },
  { alone: true },
);
