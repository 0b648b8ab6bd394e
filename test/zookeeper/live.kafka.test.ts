/** Settings change running buses on a cluster: fifty instances within a second, and the limits of a queue. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { openBus, type Bus, type Handlers, type Notice } from '../../src/index';
import { inspect, type Inspection } from '../../src/inspect';
import type { BusGiven } from '../../src/options';
import { shop } from '../bus/contract';
import { openScene, type Scene } from '../bus/processes';
import type { Cluster } from '../cluster/cluster';
import { kafkaSuite } from '../cluster/suite';
import { quickest } from '../elapsed';
import { cleanUp, freshDirectory, later, until } from '../support/zookeeper-sessions';

/** Changes a setting as the command does. */
async function setBy({ settings }: Inspection, key: string, value: string | null): Promise<void> {
  await settings.set(key, value, (await settings.get(key))?.version ?? 0);
}
function givenBy({ brokers, zookeeper }: Cluster, ns: string): BusGiven {
  return { transport: 'kafka', brokers: brokers.split(','), zookeeper, ns, sessionMs: 10_000 };
}

// Runs alone, because another suite on the same processors would distort the measurement.
kafkaSuite(
  'fifty buses on a cluster',
  (suite) => {
    afterEach(cleanUp);

    /** Resolves with a process of `count` buses when all are open. */
    async function many(given: BusGiven, count: number): Promise<ChildProcess> {
      const child = fork(path.join(__dirname, 'livechild.ts'), [JSON.stringify(given), String(count)], {
        execArgv: ['--require', path.join(__dirname, '..', 'register.cjs')],
      });
      const ended = once(child, 'exit');
      later(async () => {
        child.kill('SIGKILL');
        await ended;
      });
      await told(child, 'open');
      return child;
    }
    function told(child: ChildProcess, what: string): Promise<number> {
      return new Promise((resolve, reject) => {
        child.on('message', (said) => said === what && resolve(performance.now()));
        child.once('exit', (code) => reject(new Error(`it ended with ${code} before it sent ${what}`)));
      });
    }

    test('fifty instances in five processes see a change within a second', async () => {
      const given = givenBy(suite.cluster, suite.namespace);
      const all: ChildProcess[] = [];
      while (all.length < 5) all.push(await many(given, 10)); // one after the other: only the change is measured
      const inspection = await inspect(given);
      later(() => inspection.close());
      const changeMs = async (round: number): Promise<number> => {
        const timeoutMs = String(1_000 + round);
        const seen = all.map((child) => told(child, timeoutMs));
        const startMs = performance.now();
        await setBy(inspection, 'timeoutMs', timeoutMs);
        return Math.max(...(await Promise.all(seen))) - startMs;
      };
      expect(await quickest(1_000, changeMs)).toBeLessThan(1_000);
    });
  },
  { alone: true },
);

kafkaSuite('settings of buses on a cluster', (suite) => {
  let scene: Scene;
  let bus: Bus;
  let inspection: Inspection;
  let scenes = 0;
  beforeEach(async () => {
    const given = givenBy(suite.cluster, `${suite.namespace}-${++scenes}`);
    scene = openScene(given);
    later(() => scene.close());
    bus = await scene.open('web'); // an inspection does not create the namespace
    inspection = await inspect(given);
    later(() => inspection.close());
  });
  afterEach(cleanUp);

  const set = (key: string, value: string | null): Promise<void> => setBy(inspection, key, value);
  const started = (): string[] => scene.ledger().filter((line) => line.startsWith('pack '));
  const packed = (): number => scene.ledger().filter((line) => line.startsWith('packed ')).length;
  /** The highest number of handlers that ran at the same time, in the lines of the ledger from `from` on. */
  function mostAtOnce(from: number): number {
    let [now, most] = [0, 0];
    for (const line of scene.ledger().slice(from)) {
      now += line.startsWith('packed ') ? -1 : 1;
      most = Math.max(most, now);
    }
    return most;
  }
  const orders = (from: number) => Array.from({ length: 40 }, (_, i) => ({ order: `o${from + i}`, n: from + i }));
  const pausedNow = async (): Promise<boolean> => {
    const [queue] = await inspection.inspector.queues(['shop.work']);
    return queue?.paused.includes('shop.pack') ?? false;
  };

  test('a setting pauses and resumes work in another process, with no message lost', async () => {
    await scene.start();
    await bus.submitAll(shop.pack, orders(0));
    await scene.until(() => packed() === 40, 60_000);
    await set('shop.pack.paused', 'true');
    await until('the instance reports that it is paused', pausedNow);
    await bus.submitAll(shop.pack, orders(40));
    await new Promise((resolve) => setTimeout(resolve, 2_000)); // no handler must start in this time
    expect(started()).toHaveLength(40);
    await set('shop.pack.paused', null);
    await scene.until(() => packed() === 80, 60_000);
    expect(new Set(started()).size).toBe(80);
    expect(started()).toHaveLength(80); // each once
  });

  test('a setting lowers the concurrency of a running instance to one and restores it', async () => {
    await set('shop.pack.concurrency', '1');
    await scene.start();
    await bus.submitAll(shop.pack, orders(0));
    await scene.until(() => packed() === 40, 60_000);
    expect(mostAtOnce(0)).toBe(1);
    await set('shop.pack.paused', 'true');
    await until('the instance reports that it is paused', pausedNow);
    await bus.submitAll(shop.pack, orders(40));
    const from = scene.ledger().length;
    await set('shop.pack.concurrency', null);
    await set('shop.pack.paused', null);
    await scene.until(() => packed() === 80, 60_000);
    expect(mostAtOnce(from)).toBeGreaterThan(1);
    expect(mostAtOnce(from)).toBeLessThanOrEqual(16);
  });
});

kafkaSuite(
  'a bus that starts while ZooKeeper is down',
  (suite) => {
    afterEach(cleanUp);

    async function openOne(given: BusGiven): Promise<{ readonly bus: Bus; readonly told: readonly Notice[] }> {
      const told: Notice[] = [];
      const bus = await openBus({ log: false, module: shop, onNotice: (notice) => told.push(notice), ...given });
      later(() => bus.close());
      return { bus, told };
    }

    test('applies cached settings, reports it in its health, and applies new ones after the outage', async () => {
      const { zookeeperServer } = suite.cluster;
      const given = { ...givenBy(suite.cluster, suite.namespace), dir: freshDirectory() };
      const first = await openOne(given);
      const before = await inspect(given);
      await before.settings.set('shop.hang.timeoutMs', '3000', 0);
      await before.close();
      await until('it is applied', () => first.told.some(({ type }) => type === 'setting'));
      await first.bus.close();
      await zookeeperServer.kill();

      const { bus, told } = await openOne(given);
      const [away] = bus.health().reasons;
      expect(away).toMatchObject({
        part: 'zookeeper',
        reason: expect.stringContaining('using the settings of'),
      });
      const key = 'shop.hang.timeoutMs';
      expect(told).toContainEqual({ type: 'setting', key, change: 'applied', value: '3000' });
      await bus.serve(shop, handlers);
      await zookeeperServer.restart();
      await until('it is well', () => bus.health().reasons.length === 0);
      expect(await bus.tryRequest(shop.hang, { file: 'a' })).toMatchObject({
        error: { code: 'Timeout', details: { timeoutMs: 3_000 } },
      });
      const after = await inspect(given);
      await after.settings.set(key, '3100', 1);
      await after.close();
      await until('it has the new one', () => told.some((one) => one.type === 'setting' && one.value === '3100'));
    });
  },
  { alone: true },
);

const handlers: Handlers<typeof shop> = {
  who: () => '',
  twice: ({ n }) => n * 2,
  hang: () => new Promise<void>(() => {}),
  hangAgain: () => '',
  slow: () => '',
  slowAgain: () => '',
  busiest: () => 0,
  die: () => {},
  pack: () => {},
  shut: () => {},
};
