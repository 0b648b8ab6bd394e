/** More simultaneous requests than an instance keeps: it rejects the surplus, and counts as alive meanwhile. */
import { shop } from '../bus/contract';
import { openScene, type Scene } from '../bus/processes';
import { kafkaSuite } from '../cluster/suite';

/** The role runs 10 requests at a time, and 10,000 can wait (limits.waitingRequestsMax). */
const kept = 10_010;
const burst = 20_000;

kafkaSuite('overload on a cluster', (suite) => {
  let scene: Scene;
  beforeEach(() => {
    const { brokers, zookeeper } = suite.cluster;
    scene = openScene({ transport: 'kafka', brokers: brokers.split(','), zookeeper, ns: suite.namespace });
  });
  afterEach(() => scene.close());

  test('20,000 simultaneous requests end in Overloaded beyond the bound, and none in ResponderLost', async () => {
    await scene.start('measures');
    const bus = await scene.open('web');
    await bus.request(shop.busiest, undefined, { waitForInstanceMs: 30_000 });
    const codes = new Map<string, number>();
    const asked = Array.from({ length: burst }, async () => {
      const result = await bus.tryRequest(shop.hang, { file: 'a' }, { timeoutMs: 240_000 });
      const code = result.ok ? 'ok' : result.error.code;
      codes.set(code, (codes.get(code) ?? 0) + 1);
    });
    const ended = (): number => [...codes.values()].reduce((sum, count) => sum + count, 0);
    await scene.until(() => ended() >= burst - kept, 120_000);
    // Another entry of the same instance is answered meanwhile.
    expect(await bus.request(shop.busiest, undefined, { timeoutMs: 60_000 })).toBeLessThan(1_000);
    expect([...codes]).toEqual([['Overloaded', burst - kept]]);
    await bus.close();
    await Promise.all(asked);
    expect(codes.get('Closed')).toBe(kept);
  });
});
