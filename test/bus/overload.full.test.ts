/**
 * A burst of more requests than an instance keeps: the results of its callers, and the responsiveness of its event
 * loop.
 */
import { shop } from './contract';
import { openScene, type Scene } from './processes';

let scene: Scene;
beforeEach(() => (scene = openScene()));
afterEach(() => scene.close());
jest.setTimeout(240_000);

const burst = 20_000;
/** 10 running requests, which the role allows, and 10,000 waiting ones (limits.waitingRequestsMax). */
const kept = 10_010;

test('20,000 requests at once are Overloaded beyond the limit without blocking the event loop', async () => {
  await scene.start('measures');
  const bus = await scene.open('web');
  await bus.request(shop.busiest);
  const codes = new Map<string, number>();
  const asked = Array.from({ length: burst }, async () => {
    const result = await bus.tryRequest(shop.hang, { file: 'a' }, { timeoutMs: 120_000 });
    const code = result.ok ? 'ok' : result.error.code;
    codes.set(code, (codes.get(code) ?? 0) + 1);
  });
  await scene.until(() => (codes.get('Overloaded') ?? 0) === burst - kept);
  // Another entry of the same instance is answered meanwhile. Refusals that searched all waiting requests took 2.7 s.
  expect(await bus.request(shop.busiest)).toBeLessThan(500);
  expect([...codes]).toEqual([['Overloaded', burst - kept]]);
  await bus.close();
  await Promise.all(asked);
  expect(codes.get('Closed')).toBe(kept);
});
