/** Events that a named listener has not received: they are reported before the brokers delete them. */
import { inspect } from '../../src/inspect';
import { shop } from '../bus/contract';
import { openScene, type Scene } from '../bus/processes';
import { until } from '../cluster/ports';
import { kafkaSuite } from '../cluster/suite';

const keepMs = 60_000;

kafkaSuite('events for an absent named listener', (suite) => {
  let scene: Scene;
  afterEach(() => scene.close());

  test('are reported by health and the inspector before the brokers delete them', async () => {
    const { namespace: ns, cluster } = suite;
    const { brokers, zookeeper } = cluster;
    const given = { transport: 'kafka', brokers: brokers.split(','), zookeeper, ns, keepMs, sessionMs: 6_000 } as const;
    scene = openScene(given);
    const listener = await scene.open('books');
    const received: string[] = [];
    await listener.listen(shop.sold, { as: 'index' }, ({ order }) => void received.push(order));
    const publisher = await scene.open('web');
    await publisher.publish(shop.sold, { order: 'o1' });
    await scene.until(() => received.length === 1, 30_000);
    await listener.close();
    const publishedMs = Date.now();
    await publisher.publish(shop.sold, { order: 'o2' });
    const { inspector, ...inspection } = await inspect(given);
    const alarmsNow = async () => (await inspector.status()).alarms.map(({ what, about }) => `${what} ${about}`);
    expect(await alarmsNow()).toEqual(['no instance books.index']);
    await until('the inspector reports it', keepMs, async () => (await alarmsNow()).includes('expiring books.index'));
    expect(Date.now() - publishedMs).toBeLessThan(keepMs);
    const reasons = (): readonly string[] => publisher.health().reasons.map(({ part }) => part);
    await scene.until(() => reasons().includes(`events of ${ns}.shop.events`), keepMs);
    expect(Date.now() - publishedMs).toBeLessThan(keepMs);
    expect(publisher.health().ready).toBe(true);
    await inspection.close();
    const back = await scene.open('books');
    await back.listen(shop.sold, { as: 'index' }, ({ order }) => void received.push(order));
    await scene.until(() => received.length === 2, 30_000);
    expect(received).toEqual(['o1', 'o2']);
    await scene.until(() => publisher.health().reasons.length === 0, 30_000);
  }, 240_000);
});
