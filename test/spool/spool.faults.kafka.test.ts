/** The spool in front of real brokers that are killed: what was accepted arrives once, in order. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { shop } from '../bus/contract';
import { openScene, type Scene } from '../bus/processes';
import { kafkaSuite } from '../cluster/suite';

kafkaSuite(
  'the spool on a cluster with faults',
  (suite) => {
    let scene: Scene;
    let dir: string;
    beforeEach(() => {
      dir = mkdtempSync(join(tmpdir(), 'busbar-spool-'));
      const { brokers, zookeeper } = suite.cluster;
      const spool = join(dir, 'spool');
      const servers = { transport: 'kafka', brokers: brokers.split(','), zookeeper } as const;
      scene = openScene({ ...servers, ns: suite.namespace, sessionMs: 6_000, spool });
    });
    afterEach(async () => {
      await suite.cluster.mend();
      await scene.close();
      rmSync(dir, { recursive: true, force: true });
    });

    /** Returns the jobs in the ledger, in the order in which they were handled. */
    const packed = (): readonly string[] => scene.ledger().filter((line) => line.startsWith('pack '));
    const jobs = (order: string, count: number, from = 0) =>
      Array.from({ length: count }, (_, n) => ({ order, n: from + n }));
    const lines = (order: string, count: number): readonly string[] =>
      Array.from({ length: count }, (_, n) => `pack ${order} ${n} 1`);

    test('jobs are accepted while the brokers are away, and arrive once, in order, when they are back', async () => {
      await scene.start();
      const [one, two] = [await scene.open('web'), await scene.open('web')];
      const first = await one.submit(shop.pack, { order: 'a', n: 0 }, { until: 'broker', timeoutMs: 60_000 });
      expect(first).toMatchObject({ reached: 'broker', place: { partition: expect.any(Number), offset: 0 } });
      await scene.until(() => packed().length === 1);

      await Promise.all([1, 2, 3].map((broker) => suite.cluster.broker(broker).kill()));
      const accepted = [
        ...(await one.submitAll(shop.pack, jobs('a', 150, 1))),
        ...(await two.submitAll(shop.pack, jobs('b', 150))),
        await one.submit(shop.pack, { order: 'c', n: 0 }, { until: 'broker', timeoutMs: 200 }),
      ];
      expect(new Set(accepted.map(({ reached }) => reached))).toEqual(new Set(['disk']));
      await two.close(); // the other process of the machine sends what it accepted
      await scene.until(() => one.health().reasons.some(({ part }) => part === 'spool'), 60_000);
      expect(one.health()).toMatchObject({ live: true });

      await suite.cluster.mend();
      const flushed = one.flush();
      await scene.until(() => packed().length >= 302, 90_000);
      for (const [order, count] of [
        ['a', 151],
        ['b', 150],
        ['c', 1],
      ] as const)
        expect(packed().filter((line) => line.startsWith(`pack ${order} `))).toEqual(lines(order, count));
      expect((await flushed).length).toBeGreaterThanOrEqual(2);
      await scene.until(() => !one.health().reasons.some(({ part }) => part === 'spool'), 60_000);
    });

    test('a process that starts while the brokers are away accepts jobs, which arrive once, in order', async () => {
      await Promise.all([1, 2, 3].map((broker) => suite.cluster.broker(broker).kill()));
      const before = await scene.open('web');
      await before.submitAll(shop.pack, jobs('a', 500));
      await before.close();

      const web = await scene.open('web'); // the machine restarts, and the brokers are still away
      const orders = ['a', 'b', 'c'];
      const accepted = [...(await web.submitAll(shop.pack, jobs('b', 250)))];
      for (let n = 0; n < 250; n++) accepted.push(await web.submit(shop.pack, { order: 'c', n }));
      expect(new Set(accepted.map(({ reached }) => reached))).toEqual(new Set(['disk']));
      expect(web.health()).toMatchObject({ live: true, ready: false });
      expect(web.health().reasons.map(({ part }) => part)).toContain('messenger');
      expect(await web.tryRequest(shop.who)).toMatchObject({ ok: false, error: { code: 'Unreachable' } });

      await suite.cluster.mend();
      const waits = (): boolean => web.health().reasons.some(({ part }) => part === 'messenger' || part === 'spool');
      await scene.until(() => web.health().ready && !waits(), 90_000);
      const { instance } = await scene.start();
      expect(await web.request(shop.who, undefined, { waitForInstanceMs: 60_000, timeoutMs: 60_000 })).toBe(instance);
      await scene.until(() => packed().length >= 1_000, 90_000);
      for (const [n, order] of orders.entries())
        expect(packed().filter((line) => line.startsWith(`pack ${order} `))).toEqual(lines(order, n === 0 ? 500 : 250));
    });
  },
  { alone: true },
);
