/** Buses on a cluster, in processes of their own: what each verb promises while instances die and leave. */
import { kafkaSuite } from '../cluster/suite';
import { shop } from '../bus/contract';
import { openScene, type Scene } from '../bus/processes';

jest.setTimeout(90_000);

kafkaSuite('buses on a cluster', (suite) => {
  let scene: Scene;
  let scenes = 0;
  beforeEach(() => {
    const { brokers, zookeeper } = suite.cluster;
    const ns = `${suite.namespace}-${++scenes}`;
    scene = openScene({ transport: 'kafka', brokers: brokers.split(','), zookeeper, ns, sessionMs: 3_000 });
  });
  afterEach(() => scene.close());

  test('a request goes to another process and its reply comes back', async () => {
    const { instance } = await scene.start();
    const bus = await scene.open('web');
    expect(await bus.request(shop.who)).toBe(instance);
  });

  test('nobody there is told in milliseconds', async () => {
    const bus = await scene.open('web');
    expect(await bus.tryRequest(shop.who)).toMatchObject({ error: { code: 'NoHandler' } });
    const before = performance.now();
    expect(await bus.tryRequest(shop.who)).toMatchObject({ error: { code: 'NoHandler' } });
    expect(performance.now() - before).toBeLessThan(50);
  });

  test('a request to an instance that is killed -9 ends in ResponderLost within 5 s, and names it', async () => {
    const { instance, kill } = await scene.start();
    const bus = await scene.open('web');
    const asked = bus.tryRequest(shop.hang, { file: 'a' });
    await scene.until(() => scene.ledger().includes('hang a'), 5_000);
    const before = performance.now();
    kill('SIGKILL');
    expect(await asked).toMatchObject({ ok: false, error: { code: 'ResponderLost', details: { instance } } });
    expect(performance.now() - before).toBeLessThan(5_000);
    expect(await bus.tryRequest(shop.who)).toMatchObject({ error: { code: 'NoHandler' } });
  });

  test('an idempotent request to an instance that is killed is answered by another one', async () => {
    const bus = await scene.open('web');
    const first = await scene.start('hangs');
    const asked = bus.request(shop.hangAgain, { file: 'a' });
    await scene.until(() => scene.ledger().includes('again a'), 5_000);
    const second = await scene.start();
    first.kill('SIGKILL');
    expect(await asked).toBe(second.instance);
  });

  test('instances that leave one after the other under load lose no request', async () => {
    const bus = await scene.open('web');
    let shops = [await scene.start(), await scene.start()];
    const failures: string[] = [];
    let answered = 0;
    let stop = false;
    const load = async (): Promise<void> => {
      while (!stop) {
        const result = await bus.tryRequest(shop.slow, { ms: 3 });
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
      await scene.until(() => answered > before + 100, 20_000);
      shops = [...stay, next];
    }
    stop = true;
    await Promise.all(loads);
    expect(failures).toEqual([]);
  });

  test('a broadcast reaches every process that is up, and an event every one that listens', async () => {
    await scene.start();
    await scene.start();
    const bus = await scene.open('web');
    const heard: string[] = [];
    await bus.listen(shop.sold, ({ order }) => void heard.push(order));
    await bus.broadcast(shop.shut, { n: 7 });
    await scene.until(() => scene.ledger().filter((line) => line === 'shut 7').length === 2, 5_000);
    const other = await scene.open('till');
    await other.publish(shop.sold, { order: 'o1' });
    await scene.until(() => heard.length > 0, 5_000);
    expect(heard).toEqual(['o1']);
  });

  test('work accepted by one process is handled by another that starts later, and by others when that dies', async () => {
    const bus = await scene.open('web');
    const packed = (): Set<string> => new Set(scene.ledger().filter((line) => line.startsWith('packed')));
    const jobs = Array.from({ length: 600 }, (_, n) => ({ order: `o${n % 20}`, n }));
    // The queue is made by whoever serves it first.
    const first = await scene.start();
    for (const { id, reached } of await bus.submitAll(shop.pack, jobs.slice(0, 300))) {
      expect([typeof id, reached]).toEqual(['string', 'broker']);
    }
    await scene.until(() => packed().size > 50, 20_000);
    first.kill('SIGKILL');
    await bus.submitAll(shop.pack, jobs.slice(300));
    await scene.start();
    await scene.until(() => packed().size === jobs.length, 30_000);
  });

  test('closing an idle bus takes less than a second', async () => {
    await scene.start();
    const bus = await scene.open('web');
    await bus.request(shop.who);
    const before = performance.now();
    await bus.close();
    expect(performance.now() - before).toBeLessThan(1_000);
  });
});
