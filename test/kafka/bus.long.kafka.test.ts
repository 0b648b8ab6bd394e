/** Requests while every broker dies once, and while one is frozen: they are delayed, and none is lost. */
import { kafkaSuite } from '../cluster/suite';
import { shop } from '../bus/contract';
import type { Scene } from '../bus/processes';
import { eachBusScene } from '../support/cluster-scenes';
import { load } from './callers';

jest.setTimeout(300_000);

kafkaSuite(
  'requests on a cluster with long faults',
  (suite) => {
    let scene: Scene;
    eachBusScene(suite, 3_000, (opened) => (scene = opened));

    test('brokers killed in turn delay requests, but lose no request and no instance', async () => {
      await Promise.all([scene.start(), scene.start()]);
      const bus = await scene.open('web');
      const lost: string[] = [];
      bus.watch((notice) => notice.type === 'instance' && notice.change === 'gone' && lost.push(notice.instance));
      const { ends, more, stop } = load(() => bus.tryRequest(shop.slow, { ms: 2 }, { timeoutMs: 30_000 }));
      await more(200, 20_000);
      for (const broker of [1, 2, 3]) {
        await suite.cluster.broker(broker).kill();
        await more(500, 40_000);
        await suite.cluster.mend();
        await more(500, 40_000);
      }
      await stop();
      expect([...ends.keys()]).toEqual(['ok']);
      expect(lost).toEqual([]);
    });

    test('a frozen and thawed broker loses no request', async () => {
      await Promise.all([scene.start(), scene.start()]);
      const bus = await scene.open('web');
      const { ends, more, stop } = load(() => bus.tryRequest(shop.slow, { ms: 2 }, { timeoutMs: 40_000 }));
      await more(200, 20_000);
      await suite.cluster.broker(2).freeze();
      await more(500, 40_000);
      await suite.cluster.broker(2).thaw();
      await more(500, 40_000);
      await stop();
      expect([...ends.keys()]).toEqual(['ok']);
    });
  },
  { alone: true },
);
