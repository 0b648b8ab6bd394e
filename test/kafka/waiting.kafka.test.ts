/** A bus that starts before its servers: it waits for each of them, and then works. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kafkaSuite } from '../cluster/suite';
import { closedRelay, type Relay } from '../cluster/relay';
import { openHole } from '../cluster/hole';
import { openBus, type Bus } from '../../src/index';
import type { BusGiven } from '../../src/options';
import { shop } from '../bus/contract';
import { until } from '../support/embedded-buses';

kafkaSuite('a bus that starts before its servers', (suite) => {
  let kafka: Relay;
  let zookeeper: Relay;
  let namespaces = 0;
  beforeEach(async () => {
    kafka = await closedRelay(suite.cluster.brokers.split(',')[0] ?? '');
    zookeeper = await closedRelay(suite.cluster.zookeeper.split(',')[0] ?? '');
  });
  afterEach(() => Promise.all([kafka.close(), zookeeper.close()]));

  /** Starts to open a bus, and resolves when it reports that it waits for exactly the named servers. */
  async function start(waitsFor: readonly string[], more: BusGiven = {}) {
    const lines: string[] = [];
    let reported = (): void => undefined;
    const waits = new Promise<void>((resolve) => (reported = resolve));
    const opening = openBus({
      log: false,
      module: 'web',
      transport: 'kafka',
      ns: `${suite.namespace}-${++namespaces}`,
      brokers: [kafka.place],
      zookeeper: zookeeper.place,
      waitForServersMs: '60s',
      onNotice(notice) {
        if (notice.type !== 'log' || !notice.message.startsWith('waits for')) return;
        lines.push(notice.message);
        const names = [...notice.message.matchAll(/(Kafka|ZooKeeper) at/g)].map(([, name]) => name);
        if (names.join() === waitsFor.join()) reported();
      },
      ...more,
    });
    opening.catch(() => undefined); // the test awaits it
    await waits;
    return { opening, lines };
  }
  async function works(bus: Bus): Promise<unknown> {
    const { reached } = await bus.submit(shop.pack, { order: 'o1', n: 1 });
    const { live, ready } = bus.health();
    await bus.close();
    return { reached, live, ready };
  }
  const working = { reached: 'broker', live: true, ready: true };

  test('opens when both respond', async () => {
    const { opening } = await start(['Kafka', 'ZooKeeper']);
    await Promise.all([kafka.open(), zookeeper.open()]);
    expect(await works(await opening)).toEqual(working);
  });

  test('waits for ZooKeeper while Kafka responds', async () => {
    await kafka.open();
    const { opening } = await start(['ZooKeeper']);
    await zookeeper.open();
    expect(await works(await opening)).toEqual(working);
  });

  test('waits for Kafka while ZooKeeper responds', async () => {
    await zookeeper.open();
    const { opening } = await start(['Kafka']);
    await kafka.open();
    expect(await works(await opening)).toEqual(working);
  });

  test('waits for a broker that accepts connections and never responds, and opens through another one', async () => {
    await zookeeper.open();
    const hole = await openHole();
    try {
      const { opening } = await start(['Kafka'], { brokers: [hole.place, kafka.place] });
      await kafka.open();
      expect(await works(await opening)).toEqual(working);
    } finally {
      await hole.close();
    }
  });

  test('a bus with a spool opens while both are away after an earlier run, and works when they respond', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'busbar-waiting-'));
    const { brokers, zookeeper: place } = suite.cluster;
    const given = { transport: 'kafka', ns: `${suite.namespace}-${++namespaces}`, spool: join(dir, 'spool') } as const;
    try {
      const earlier = await openBus({ module: 'web', ...given, brokers: brokers.split(','), zookeeper: place });
      expect(earlier.health()).toEqual({ live: true, ready: true, reasons: [] });
      await earlier.close();

      const bus = await openBus({ module: 'web', ...given, brokers: [kafka.place], zookeeper: zookeeper.place });
      const accepted = await bus.submitAll(
        shop.pack,
        [1, 2, 3].map((n) => ({ order: 'o1', n })),
      );
      expect(accepted.map(({ reached }) => reached)).toEqual(['disk', 'disk', 'disk']);
      const parts = bus.health().reasons.map(({ part }) => part);
      expect(parts.filter((part) => part !== 'kafka')).toEqual(['zookeeper', 'messenger']);

      await Promise.all([kafka.open(), zookeeper.open()]);
      expect(await bus.flush()).toHaveLength(1);
      await until(() => bus.health().ready, 60_000, 'a healthy bus');
      expect(bus.health().reasons).toEqual([]);
      await bus.close();
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  test('opens without a report when both respond at once', async () => {
    await Promise.all([kafka.open(), zookeeper.open()]);
    const notices: string[] = [];
    const bus = await openBus({
      log: false,
      module: 'web',
      transport: 'kafka',
      ns: `${suite.namespace}-${++namespaces}`,
      brokers: [kafka.place],
      zookeeper: zookeeper.place,
      waitForServersMs: '60s',
      onNotice: (notice) => notice.type === 'log' && notices.push(notice.message),
    });
    expect(await works(bus)).toEqual(working);
    expect(notices.filter((line) => line.startsWith('waits for'))).toEqual([]);
  });
});
