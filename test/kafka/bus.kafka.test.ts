/** Buses on a cluster, in separate processes: the promises of each verb while instances die and leave. */
import { defineModule, event, unchecked } from '../../src/index';
import { kafkaSuite } from '../cluster/suite';
import { shop } from '../bus/contract';
import { placeFaults } from '../bus/places';
import type { Scene } from '../bus/processes';
import { quickest } from '../elapsed';
import { openBusScene } from '../support/cluster-scenes';
import { timed } from '../support/kafka-client';
import { openRealProcess } from '../support/kafka-log-ports';

kafkaSuite('buses on a cluster', (suite) => {
  let scene: Scene;
  let scenes = 0;
  const open = (sessionMs: number): Scene => openBusScene(suite.cluster, `${suite.namespace}-${++scenes}`, sessionMs);
  beforeEach(() => {
    scene = open(6_000);
  });
  afterEach(() => scene.close());

  test('a request to another process resolves with its reply', async () => {
    const { instance } = await scene.start();
    const bus = await scene.open('web');
    expect(await bus.request(shop.who)).toBe(instance);
  });

  test('a request without a responder ends in NoHandler within 50 ms', async () => {
    const bus = await scene.open('web');
    const ask = async (): Promise<void> =>
      expect(await bus.tryRequest(shop.who)).toMatchObject({ error: { code: 'NoHandler' } });
    await ask();
    expect(await quickest(50, async () => (await timed(ask()))[1])).toBeLessThan(50);
  });

  test('a request to a killed instance ends in ResponderLost with its name within 5 s', async () => {
    await scene.close();
    scene = open(3_000); // the session of the promise
    const bus = await scene.open('web');
    const lostMs = async (round: number): Promise<number> => {
      const { instance, kill } = await scene.start();
      const asked = bus.tryRequest(shop.hang, { file: `${round}` }, { waitForInstanceMs: 30_000, timeoutMs: 60_000 });
      await scene.until(() => scene.ledger().includes(`hang ${round}`), 60_000);
      kill('SIGKILL');
      const [ended, took] = await timed(asked);
      expect(ended).toMatchObject({ ok: false, error: { code: 'ResponderLost', details: { instance } } });
      expect(await bus.tryRequest(shop.who)).toMatchObject({ error: { code: 'NoHandler' } });
      return took;
    };
    expect(await quickest(5_000, lostMs)).toBeLessThan(5_000);
  });

  test('an idempotent request to a killed instance is answered by another instance', async () => {
    const bus = await scene.open('web');
    const first = await scene.start('hangs');
    const asked = bus.request(shop.hangAgain, { file: 'a' }, { timeoutMs: 60_000 });
    await scene.until(() => scene.ledger().includes('again a'), 60_000);
    const second = await scene.start();
    first.kill('SIGKILL');
    expect(await asked).toBe(second.instance);
  });

  test('instances that leave in turn under load lose no request', async () => {
    const bus = await scene.open('web');
    let shops = [await scene.start(), await scene.start()];
    const failures: string[] = [];
    let answered = 0;
    let stop = false;
    const load = async (): Promise<void> => {
      while (!stop) {
        const result = await bus.tryRequest(shop.slow, { ms: 3 }, { timeoutMs: 30_000 });
        if (result.ok) answered++;
        else failures.push(`${result.error.code}: ${result.error.message}`);
      }
    };
    const loads = Array.from({ length: 20 }, load);
    for (let round = 0; round < 3; round++) {
      const next = await scene.start();
      const [leaver, ...stay] = shops;
      const before = answered;
      leaver?.kill('SIGTERM');
      expect(await leaver?.ended).toBe(0);
      await scene.until(() => answered > before + 100, 60_000);
      shops = [...stay, next];
    }
    stop = true;
    await Promise.all(loads);
    expect(failures).toEqual([]);
  });

  test('a broadcast reaches every running process, and an event every listening one', async () => {
    await scene.start();
    await scene.start();
    const bus = await scene.open('web');
    const heard: string[] = [];
    await bus.listen(shop.sold, ({ order }) => void heard.push(order));
    await bus.broadcast(shop.shut, { n: 7 });
    await scene.until(() => scene.ledger().filter((line) => line === 'shut 7').length === 2, 60_000);
    const other = await scene.open('till');
    await other.publish(shop.sold, { order: 'o1' });
    await scene.until(() => heard.length > 0, 60_000);
    expect(heard).toEqual(['o1']);
  });

  test('submit and flush resolve with the places of the messages in the log', async () => {
    const ns = `${suite.namespace}-${scenes}`;
    const { brokers, zookeeper } = suite.cluster;
    const servers = { transport: 'kafka', brokers: brokers.split(','), zookeeper } as const;
    expect(await placeFaults(await scene.open('web'), { module: 'look', ns, ...servers })).toEqual([]);
  });

  test('the events topic has the retention that its entry declares', async () => {
    const { added } = defineModule('photos', { added: event(unchecked<number>(), { keepMs: 3_600_000 }) });
    const ns = `${suite.namespace}-${scenes}`;
    await (await scene.open('web')).publish(added, 1);
    const process = openRealProcess(suite.cluster.brokers, { ns });
    const topics = await process.log.topics();
    await process.close();
    expect(topics.find(({ name }) => name === `${ns}.photos.events`)).toMatchObject({ keepMs: 3_600_000 });
  });

  test('accepted work is handled by a process that starts later, or by its replacement', async () => {
    const bus = await scene.open('web');
    const packed = (): Set<string> => new Set(scene.ledger().filter((line) => line.startsWith('packed')));
    const jobs = Array.from({ length: 600 }, (_, n) => ({ order: `o${n % 20}`, n }));
    // The first instance that serves the queue creates it.
    const first = await scene.start();
    for (const { id, reached } of await bus.submitAll(shop.pack, jobs.slice(0, 300))) {
      expect([typeof id, reached]).toEqual(['string', 'broker']);
    }
    await scene.until(() => packed().size > 50, 60_000);
    first.kill('SIGKILL');
    await bus.submitAll(shop.pack, jobs.slice(300));
    await scene.start();
    await scene.until(() => packed().size === jobs.length, 90_000);
  });

  test('closing an idle bus takes less than a second', async () => {
    await scene.start();
    const closing = async (): Promise<number> => {
      const bus = await scene.open('web');
      await bus.request(shop.who);
      return (await timed(bus.close()))[1];
    };
    expect(await quickest(1_000, closing)).toBeLessThan(1_000);
  });
});
