/** Buses whose ZooKeeper is down for a minute, or is frozen: requests and work continue, and settings apply afterwards. */
import { openBus, type Bus, type Notice } from '../../src/index';
import { inspect } from '../../src/inspect';
import type { BusGiven } from '../../src/options';
import { shop } from '../bus/contract';
import { openScene, type Scene } from '../bus/processes';
import { kafkaSuite } from '../cluster/suite';
import { Jobs } from '../kafka/jobs';
import { zookeeperSuite } from './suite';

jest.setTimeout(240_000);

const callers = 10;
const goneMs = 60_000;
const frozenMs = 10_000;
const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

kafkaSuite('buses without ZooKeeper', (kafka) => {
  zookeeperSuite(
    'on a server of this suite',
    (zookeeper) => {
      let scene: Scene;
      let jobs: Jobs;
      let bus: Bus;
      let given: BusGiven;
      const told: Notice[] = [];
      let scenes = 0;
      beforeEach(async () => {
        const brokers = kafka.cluster.brokers;
        const ns = `${kafka.namespace}-${++scenes}`;
        given = { transport: 'kafka', brokers: brokers.split(','), zookeeper: zookeeper.connect, ns, sessionMs: 6_000 };
        scene = openScene(given);
        await Promise.all([scene.start(), scene.start()]);
        told.length = 0;
        bus = await openBus({ log: false, module: 'web', ...given, onNotice: (notice) => void told.push(notice) });
        jobs = new Jobs(scene, brokers, ns);
      });
      afterEach(async () => {
        await zookeeper.server.thaw().catch(() => undefined);
        await jobs.close();
        await bus.close();
        await scene.close();
      });

      /** Sends requests until stopped, and counts their outcomes. */
      function askOn(): { readonly ends: Map<string, number>; stop(): Promise<void> } {
        const ends = new Map<string, number>();
        let running = true;
        const ask = async (): Promise<void> => {
          while (running) {
            const result = await bus.tryRequest(shop.slow, { ms: 5 });
            const end = result.ok ? 'ok' : (result.error as { code: string }).code; // the entry declares no failure
            ends.set(end, (ends.get(end) ?? 0) + 1);
          }
        };
        const all = Array.from({ length: callers }, ask);
        return {
          ends,
          async stop() {
            running = false;
            await Promise.all(all);
          },
        };
      }
      /** Checks for `ms` that requests are answered and jobs are handled. */
      async function goesOnFor(ms: number, ends: Map<string, number>): Promise<void> {
        for (const endMs = performance.now() + ms; performance.now() < endMs; await later(500)) {
          const before = ends.get('ok') ?? 0;
          await jobs.goesOn(20, 10_000);
          await scene.until(() => (ends.get('ok') ?? 0) >= before + 50, 10_000);
        }
      }
      async function settingsApply(value: string): Promise<void> {
        const operator = await inspect(given);
        await operator.settings.set('timeoutMs', value, (await operator.settings.get('timeoutMs'))?.version ?? 0);
        await operator.close();
        const applied = (): boolean => told.some((one) => one.type === 'setting' && one.value === value);
        await scene.until(applied, 10_000);
      }
      const isAway = (): boolean => bus.health().reasons.some(({ part }) => part === 'zookeeper');

      test('an outage of 60 s loses no request, job or instance, and settings apply afterwards', async () => {
        jobs.start(bus);
        const requests = askOn();
        const { ends } = requests;
        await settingsApply('4000');
        await zookeeper.server.kill();
        await goesOnFor(goneMs, ends);
        expect(isAway()).toBe(true);
        await zookeeper.server.restart();
        await scene.until(() => !isAway(), 20_000);
        await settingsApply('4500');
        await goesOnFor(10_000, ends); // every instance reconnected within its session
        await requests.stop();
        expect([...ends.keys()]).toEqual(['ok']);
        expect(told.filter((one) => one.type === 'instance' && one.change === 'gone')).toEqual([]);
        expect(await jobs.audit()).toEqual([]);
      });

      test('a freeze of 10 s loses no request, job or instance, although all sessions expire', async () => {
        jobs.start(bus);
        const requests = askOn();
        const { ends } = requests;
        await goesOnFor(1_000, ends);
        await zookeeper.server.freeze();
        await goesOnFor(frozenMs, ends);
        expect(isAway()).toBe(true);
        await zookeeper.server.thaw();
        await scene.until(() => !isAway(), 20_000);
        await settingsApply('4600');
        await goesOnFor(10_000, ends);
        await requests.stop();
        expect([...ends.keys()]).toEqual(['ok']);
        expect(told.filter((one) => one.type === 'instance' && one.change === 'gone')).toEqual([]);
        expect(await jobs.audit()).toEqual([]);
      });
    },
    { faults: true },
  );
});
