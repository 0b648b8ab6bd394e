/** Requests while every broker dies once, and while one is frozen: they take longer, and none is lost. */
import { kafkaSuite } from '../cluster/suite';
import { shop } from '../bus/contract';
import { openScene, type Scene } from '../bus/processes';
import { load } from './callers';

jest.setTimeout(300_000);

kafkaSuite(
  'requests on a cluster in trouble for long',
  (suite) => {
    let scene: Scene;
    let scenes = 0;
    beforeEach(() => {
      const { brokers, zookeeper } = suite.cluster;
      const ns = `${suite.namespace}-${++scenes}`;
      scene = openScene({ transport: 'kafka', brokers: brokers.split(','), zookeeper, ns, sessionMs: 3_000 });
    });
    afterEach(async () => {
      await suite.cluster.mend();
      await scene.close();
    });
    /** Waits until so many more requests were answered. */
    const more = (ends: Map<string, number>, count: number, withinMs: number): Promise<number> => {
      const before = ends.get('ok') ?? 0;
      return scene.until(() => (ends.get('ok') ?? 0) >= before + count, withinMs);
    };

    test('brokers that are killed one after the other cost time, but no request and no instance', async () => {
      await Promise.all([scene.start(), scene.start()]);
      const bus = await scene.open('web');
      const lost: string[] = [];
      bus.watch((notice) => notice.type === 'instance' && notice.change === 'gone' && lost.push(notice.instance));
      const { ends, stop } = load(() => bus.tryRequest(shop.slow, { ms: 2 }, { timeoutMs: 30_000 }));
      await more(ends, 200, 20_000);
      for (const broker of [1, 2, 3]) {
        await suite.cluster.broker(broker).kill();
        await more(ends, 500, 40_000);
        await suite.cluster.mend();
        await more(ends, 500, 40_000);
      }
      await stop();
      expect([...ends.keys()]).toEqual(['ok']);
      expect(lost).toEqual([]);
    });

    test('a broker that is frozen and thawed loses no request either', async () => {
      await Promise.all([scene.start(), scene.start()]);
      const bus = await scene.open('web');
      const { ends, stop } = load(() => bus.tryRequest(shop.slow, { ms: 2 }, { timeoutMs: 40_000 }));
      await more(ends, 200, 20_000);
      await suite.cluster.broker(2).freeze();
      await more(ends, 500, 40_000);
      await suite.cluster.broker(2).thaw();
      await more(ends, 500, 40_000);
      await stop();
      expect([...ends.keys()]).toEqual(['ok']);
    });
  },
  { alone: true },
);
