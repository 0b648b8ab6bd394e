import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { exitCodes } from '../../src/host/exit';
import { openBus, type Bus } from '../../src/index';
import { quickest } from '../elapsed';
import { desk } from './desk';

interface Child {
  readonly process: ChildProcess;
  readonly lines: string[];
  /** The first line that passes, also an earlier one; rejects when the process ends without it. */
  line(passes: (line: string) => boolean): Promise<string>;
  readonly code: Promise<number | null>;
}
const children: Child[] = [];
const buses: Bus[] = [];
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'bb-'));
});
afterEach(async () => {
  for (const bus of buses.splice(0)) await bus.close();
  for (const child of children.splice(0)) {
    child.process.kill('SIGKILL');
    await child.code;
  }
  rmSync(dir, { recursive: true, force: true });
});

function start(env: Record<string, string> = {}, ...args: string[]): Child {
  const child = fork(join(__dirname, 'desk.ts'), args, {
    execArgv: ['--require', join(__dirname, '..', 'register.cjs')],
    env: { PATH: process.env['PATH'], BUSBAR_DIR: join(dir, 'bus'), ...env },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    cwd: dir,
  });
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const code = once(child, 'close').then(([exit]) => exit as number | null);
  if (child.stdout) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line);
      for (const look of waiting) look();
    });
  }
  const started: Child = {
    process: child,
    lines,
    code,
    line: (passes) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = lines.find(passes);
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        void code.then((exit) => reject(new Error(`ended with ${exit}:\n${lines.join('\n')}`)));
        look();
      }),
  };
  children.push(started);
  return started;
}
const says = (text: string) => (line: string) => line.includes(text);
async function serving(env?: Record<string, string>, ...args: string[]): Promise<Child> {
  const child = start(env, ...args);
  await child.line(says('serves desk'));
  return child;
}
async function caller(): Promise<Bus> {
  const bus = await openBus({ module: 'caller', ns: 'main', dir: join(dir, 'bus'), timeoutMs: 60_000 });
  buses.push(bus);
  return bus;
}
/** Sends a request, and resolves when its handler runs. */
async function asked(
  child: Child,
  bus: Bus,
  afterMs: number | 'never' | 'told',
): Promise<{ answer: Promise<unknown> }> {
  const runs = once(child.process, 'message');
  const answer = bus.tryRequest(desk.ask, afterMs, { waitForInstanceMs: 30_000 });
  await runs;
  return { answer };
}

test('on SIGTERM it finishes running handlers, disposes its dependencies, and exits with 0', async () => {
  const child = await serving();
  const bus = await caller();
  const { answer } = await asked(child, bus, 200);
  child.process.kill('SIGTERM');
  expect(await answer).toEqual({ ok: true, value: 'after 200 ms' });
  expect(await child.code).toBe(exitCodes.left);
  const plain = child.lines.filter((line) => !line.startsWith('{'));
  expect(plain).toEqual(['open desk', 'close', 'drawer away']);
});

test('its log without a terminal is JSON lines with module, instance, pid, entry and id', async () => {
  const child = await serving();
  const { answer } = await asked(child, await caller(), 1);
  await answer;
  const line = JSON.parse(await child.line(says('"msg":"asked"'))) as Record<string, unknown>;
  expect(line).toMatchObject({ level: 'info', module: 'desk', pid: child.process.pid, entry: 'desk.ask', afterMs: 1 });
  expect(line['instance']).toMatch(/^desk#/);
  expect(line['id']).toEqual(expect.any(String));
});

test('its log is text with BUSBAR_LOG_FORMAT=text', async () => {
  const child = start({ BUSBAR_LOG_FORMAT: 'text' });
  expect(await child.line(says('serves desk'))).toMatch(
    /^\d\d:\d\d:\d\d\.\d{3} {2}info {3}desk#\w+ {2}serves desk after \d+ ms/,
  );
});

test('a second signal ends the process at once, although a handler runs', async () => {
  const child = await serving();
  await asked(child, await caller(), 'never');
  child.process.kill('SIGTERM');
  await child.line(says('SIGTERM received: leaves'));
  await new Promise((resolve) => setTimeout(resolve, 150)); // within 100 ms it would count as the same signal
  child.process.kill('SIGINT');
  expect(await child.code).toBe(exitCodes.interrupted);
});

test('a handler that never ends is abandoned after drainMs plus 1 s with code 75', async () => {
  const bus = await caller();
  const leave = async (): Promise<number> => {
    const child = await serving({ BUSBAR_DRAIN_MS: '300' });
    await asked(child, bus, 'never');
    const startMs = performance.now();
    child.process.kill('SIGTERM');
    expect(await child.code).toBe(exitCodes.late);
    const tookMs = performance.now() - startMs;
    expect(tookMs).toBeGreaterThan(290);
    return tookMs;
  };
  expect(await quickest(2_000, leave)).toBeLessThan(2_000);
});

test.each(['throw', 'reject'] as const)(
  'an uncaught error (%s) ends the process at once with 70 and its stack',
  async (how) => {
    const child = await serving();
    const bus = await caller();
    await bus.tryRequest(desk.stumble, how, { waitForInstanceMs: 30_000 });
    expect(await child.code).toBe(exitCodes.crashed);
    const last = JSON.parse(child.lines.at(-1) ?? '') as { level: string; msg: string; err: { stack: string } };
    expect(last).toMatchObject({ level: 'fatal', msg: 'crashed: nobody caught it' });
    expect(last.err.stack).toContain('desk.ts');
  },
);

test('wrong options stop the start with 78, all named at once', async () => {
  writeFileSync(join(dir, 'bus.json'), '{"ns":"a b"}');
  const child = start({ BUSBAR_CONFIG: 'bus.json', BUSBAR_DRAIN: '5', BUSBAR_TIMEOUT_MS: 'soon' });
  expect(await child.code).toBe(exitCodes.config);
  const { msg } = JSON.parse(child.lines.at(-1) ?? '') as { msg: string };
  for (const part of ['bus.json', 'did you mean BUSBAR_DRAIN_MS?', 'timeoutMs = "soon" (BUSBAR_TIMEOUT_MS)']) {
    expect(msg).toContain(part);
  }
});

test('an unusable directory stops the start with 78', async () => {
  const child = start({ BUSBAR_DIR: '/dev/null' });
  expect(await child.code).toBe(exitCodes.config);
  expect(child.lines.at(-1)).toContain('/dev/null');
});

test('it answers probes and Prometheus only on loopback', async () => {
  const child = await serving({ BUSBAR_HEALTH_PORT: '0' });
  const [url = ''] = /http:\/\/127\.0\.0\.1:\d+/.exec(await child.line(says('health at'))) ?? [];
  const { answer } = await asked(child, await caller(), 1);
  await answer;
  const health = await fetch(`${url}/health`);
  expect([health.status, await health.json()]).toEqual([200, { live: true, ready: true, reasons: [] }]);
  expect((await fetch(`${url}/ready`)).status).toBe(200);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  expect(metrics).toContain('busbar_messages_handled_total{kind="request",entry="desk.ask",outcome="done"} 1');
  expect((await fetch(`${url}/else`)).status).toBe(404);
  expect((await fetch(`${url}/health`, { method: 'POST' })).status).toBe(405);
  const outside = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  for (const { address, family, internal } of outside) {
    if (internal || family !== 'IPv4') continue;
    await expect(fetch(url.replace('127.0.0.1', address))).rejects.toThrow('fetch failed');
  }
});

test('a process that is shutting down is live but not ready', async () => {
  const child = await serving({ BUSBAR_HEALTH_PORT: '0' });
  const [url = ''] = /http:\/\/127\.0\.0\.1:\d+/.exec(await child.line(says('health at'))) ?? [];
  const { answer } = await asked(child, await caller(), 'told');
  child.process.kill('SIGTERM');
  await child.line(says('SIGTERM received: leaves'));
  expect((await fetch(`${url}/ready`)).status).toBe(503);
  expect((await fetch(`${url}/health`)).status).toBe(200);
  child.process.send('answer');
  await answer;
  expect(await child.code).toBe(exitCodes.left);
});

test('a health port in use stops the start before open() is called', async () => {
  const first = await serving({ BUSBAR_HEALTH_PORT: '0' });
  const [, port = ''] = /127\.0\.0\.1:(\d+)/.exec(await first.line(says('health at'))) ?? [];
  const second = start({ BUSBAR_HEALTH_PORT: port });
  expect(await second.code).toBe(exitCodes.failed);
  expect(second.lines.at(-1)).toContain('EADDRINUSE');
  expect(second.lines.filter(says('open desk'))).toEqual([]);
});

test('a process runs one module', async () => {
  const child = await serving({}, 'twice');
  expect(await child.line(says('runModule was already called'))).toMatch(/^BusError: /);
});

test('SIGTERM ends a start that waits for servers, with exit code 0', async () => {
  const nowhere = { BUSBAR_BROKERS: '127.0.0.1:1', BUSBAR_ZOOKEEPER: '127.0.0.1:1' };
  const child = start({ BUSBAR_TRANSPORT: 'kafka', ...nowhere, BUSBAR_WAIT_FOR_SERVERS_MS: '1h' });
  const line = await child.line(says('waits for Kafka at 127.0.0.1:1'));
  expect(line).toContain('ZooKeeper at 127.0.0.1:1');
  const startMs = performance.now();
  child.process.kill('SIGTERM');
  expect(await child.code).toBe(exitCodes.left);
  expect(performance.now() - startMs).toBeLessThan(5_000);
  expect(child.lines.at(-1)).toContain('left before the servers responded');
});
