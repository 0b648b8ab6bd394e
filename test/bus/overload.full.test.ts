/** More requests in one go than an instance keeps: what its callers receive, and that its event loop goes on. */
import { shop } from './contract';
import { openScene, type Scene } from './processes';

let scene: Scene;
beforeEach(() => (scene = openScene()));
afterEach(() => scene.close());
jest.setTimeout(240_000);

const burst = 20_000;
/** The role allows 10 to run, and 10,000 wait (limits.waitingRequestsMax). */
const kept = 10_010;

test('20,000 requests in one go are refused as Overloaded beyond the bound, and the event loop goes on', async () => {
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
  // Another entry of the same instance is answered meanwhile. Refusals that searched all that wait took 2.7 s in one go.
  expect(await bus.request(shop.busiest)).toBeLessThan(500);
  expect([...codes]).toEqual([['Overloaded', burst - kept]]);
  await bus.close();
  await Promise.all(asked);
  expect(codes.get('Closed')).toBe(kept);
});
