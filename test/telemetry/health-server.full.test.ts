import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openNotices } from '../../src/base/notices';
import { openHealthServer, type HealthServer } from '../../src/telemetry/health-server';
import { openBus, type Health, type OpenOptions } from '../../src/index';

let server: HealthServer;
const notices = openNotices();
beforeEach(async () => {
  server = await openHealthServer(notices, { host: '127.0.0.1', port: 0 });
});
afterEach(() => server.close());

const ask = async (path: string): Promise<{ status: number; text: string }> => {
  const response = await fetch(`${server.url}${path}`);
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
  server.serves({ health: () => health, stats: () => Promise.reject(new Error('closed')) });
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

describe('openBus with healthPort', () => {
  const dir = mkdtempSync(join(tmpdir(), 'bb-health-'));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  /** Opens a bus, and returns the address that it reports. */
  async function open(options: Partial<OpenOptions>) {
    let url: string | undefined;
    const bus = await openBus({
      module: 'photos',
      dir,
      onNotice: (notice) => {
        if (notice.type === 'log') url = /^health at (.*)\/health$/.exec(notice.message)?.[1];
      },
      ...options,
    });
    return { bus, url };
  }

  test('answers probes until the bus is closed', async () => {
    const { bus, url } = await open({ healthPort: 0 });
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    const ready = await fetch(`${url}/ready`);
    expect([ready.status, await ready.json()]).toEqual([200, { live: true, ready: true, reasons: [] }]);
    expect(await (await fetch(`${url}/metrics`)).text()).toContain('busbar_partitions');
    await bus.close();
    await expect(fetch(`${url}/ready`)).rejects.toThrow('fetch failed');
  });

  test('rejects when the port is occupied, and leaves nothing open', async () => {
    const { bus, url } = await open({ healthPort: 0, healthHost: '0.0.0.0' });
    expect(url).toMatch(/^http:\/\/0\.0\.0\.0:\d+$/);
    const port = Number(new URL(url ?? '').port);
    await expect(open({ healthPort: port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await bus.close();
    await (await open({ healthPort: port })).bus.close();
  });

  test('a bus that cannot be opened leaves the port free', async () => {
    const { bus, url } = await open({ healthPort: 0 });
    const port = Number(new URL(url ?? '').port);
    await bus.close();
    await expect(open({ healthPort: port, dir: '/dev/null/no' })).rejects.toMatchObject({ code: 'Config' });
    await (await open({ healthPort: port })).bus.close();
  });

  test('health: false opens no server, also when the variable is set', async () => {
    process.env['BUSBAR_HEALTH_PORT'] = '0';
    try {
      const { bus, url } = await open({ health: false });
      await bus.close();
      expect(url).toBeUndefined();
    } finally {
      delete process.env['BUSBAR_HEALTH_PORT'];
    }
  });
});
