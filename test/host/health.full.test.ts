import { openNotices } from '../../src/base/notices';
import { openHealthServer, type HealthServer } from '../../src/host/health';
import type { Health } from '../../src/index';

let server: HealthServer;
const notices = openNotices();
beforeEach(async () => {
  server = await openHealthServer(notices, 0);
});
afterEach(() => server.close());

const ask = async (path: string): Promise<{ status: number; text: string }> => {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
  return { status: response.status, text: await response.text() };
};

test('a starting module is live and not ready', async () => {
  expect((await ask('/health')).status).toBe(200);
  const { status, text } = await ask('/ready');
  expect(status).toBe(503);
  expect(JSON.parse(text)).toMatchObject({ live: true, ready: false, reasons: [{ reason: 'it is starting' }] });
});

test.each([
  [{ live: true, ready: true, reasons: [] }, 200, 200],
  [{ live: true, ready: false, reasons: [{ part: 'registry', reason: 'silent', sinceMs: 5 }] }, 200, 503],
  [{ live: false, ready: false, reasons: [{ part: 'disk', reason: 'full', sinceMs: 5 }] }, 503, 503],
] satisfies [Health, number, number][])('probes return the health of the bus (%j)', async (health, live, ready) => {
  server.serves({ health: () => health });
  expect(await ask('/health')).toEqual({ status: live, text: JSON.stringify(health) });
  expect((await ask('/ready?from=probe')).status).toBe(ready);
});

test('notices from before the module serves are counted', async () => {
  notices.emit({ type: 'partition', queue: 'photos.work', partition: 1, change: 'taken' });
  expect((await ask('/metrics')).text).toContain('busbar_partitions{queue="photos.work"} 1');
});

test('closing does not wait for keep-alive connections', async () => {
  await ask('/health');
  await server.close();
  await expect(ask('/health')).rejects.toThrow('fetch failed');
});
