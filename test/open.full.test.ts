/** Options that openBus refuses before it connects to any server, and the wait for servers that do not respond. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, systemRandom } from '../src/base/clock';
import { openNotices } from '../src/base/notices';
import { defineModule, openBus, unchecked, work } from '../src/index';
import type { BusGiven } from '../src/options';
import { SettingsCache } from '../src/zookeeper/settings/disk-cache';
import { shop } from './bus/contract';
import { openHole, type Hole } from './cluster/hole';
import { startFake } from './support/fake-zookeeper';
import { cleanUp } from './support/zookeeper-sessions';

const servers = { transport: 'kafka', brokers: ['127.0.0.1:1'], zookeeper: '127.0.0.1:1', sessionMs: 500 } as const;
const jobs = defineModule('jobs', { run: work(unchecked<number>()) });
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'busbar-open-'));
  writeFileSync(join(dir, 'auth'), 'ann:pass');
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const refusal = (options: BusGiven): Promise<unknown> =>
  openBus({ log: false, module: 'web', ...servers, ...options }).then(
    (bus) => bus.close().then(() => 'it was opened'),
    (error: unknown) => error,
  );

describe('openBus refuses passwords that would be sent in clear text', () => {
  const digest =
    /zookeeperAuthFile \(.*auth\) would be sent to ZooKeeper in clear text. Set zookeeperTls .* or set credentialsWithoutTls/;
  const plain =
    /saslMechanism PLAIN would send the password to Kafka in clear text. Set tls .* or set credentialsWithoutTls/;

  test.each<[string, BusGiven, RegExp]>([
    ['user and password of ZooKeeper', { zookeeperAuthFile: 'auth' }, digest],
    ['saslMechanism PLAIN of Kafka', { saslUsername: 'ann', saslMechanism: 'PLAIN' }, plain],
  ])('%s', async (_, options, fault) => {
    const { zookeeperAuthFile: file } = options;
    const given = { ...options, ...(file !== undefined && { zookeeperAuthFile: join(dir, file) }) };
    const error = await refusal(given);
    expect(error).toMatchObject({ code: 'Config', message: expect.stringMatching(fault) });
    expect(String(error)).not.toContain('pass\n');
    const allowed = await refusal({ ...given, credentialsWithoutTls: true });
    expect(allowed).toMatchObject({ code: 'Unreachable' });
  });

  test('except with TLS or SCRAM', async () => {
    const file = join(dir, 'auth');
    expect(await refusal({ zookeeperAuthFile: file, zookeeperTls: true })).toMatchObject({ code: 'Unreachable' });
    expect(await refusal({ saslUsername: 'ann' })).toMatchObject({ code: 'Unreachable' });
    expect(await refusal({ saslUsername: 'ann', saslMechanism: 'PLAIN', tls: true })).toMatchObject({
      code: 'Unreachable',
    });
  });

  test('and user and password in a variable', async () => {
    process.env['BUSBAR_ZOOKEEPER_AUTH'] = 'ann:very-secret';
    const error = await refusal({});
    delete process.env['BUSBAR_ZOOKEEPER_AUTH'];
    expect(error).toMatchObject({
      code: 'Config',
      message: expect.stringContaining('BUSBAR_ZOOKEEPER_AUTH would be sent'),
    });
    expect(String(error)).not.toContain('secret');
  });
});

test('openBus names an unreadable TLS file of ZooKeeper', async () => {
  const error = await refusal({ zookeeperTlsCaFile: join(dir, 'none.pem') });
  expect(error).toMatchObject({
    code: 'Config',
    message: expect.stringMatching(/^zookeeperTlsCaFile cannot be read: .*none\.pem/),
  });
});

describe('openBus with a spool while the brokers are away', () => {
  afterEach(cleanUp);

  test('opens, accepts work, and rejects calls to other instances with Unreachable', async () => {
    const { connect: zookeeper } = await startFake();
    const bus = await openBus({ module: 'web', ...servers, zookeeper, spool: join(dir, 'spool') });
    try {
      expect(await bus.submit(shop.pack, { order: 'a', n: 1 })).toMatchObject({ reached: 'disk' });
      expect(await bus.publish(shop.sold, { order: 'a' })).toMatchObject({ reached: 'disk' });
      expect(await bus.tryRequest(shop.who)).toMatchObject({ error: { code: 'Unreachable' } });
      const served = { code: 'Unreachable' };
      const failing = await Promise.allSettled([
        bus.broadcast(shop.shut, { n: 1 }),
        bus.listen(shop.sold, () => undefined),
        bus.listen(shop.sold, { as: 'index' }, () => undefined),
        bus.serve(jobs, { run: () => undefined }),
      ]);
      expect(failing).toEqual(failing.map(() => ({ status: 'rejected', reason: expect.objectContaining(served) })));
      const { live, ready, reasons } = bus.health();
      expect({ live, ready, parts: reasons.map(({ part }) => part) }).toMatchObject({ live: true, ready: false });
      expect(reasons.find(({ part }) => part === 'messenger')?.reason).toContain('away since the start');
    } finally {
      await bus.close();
    }
  });

  test('opens without ZooKeeper if an earlier run has left its settings in the spool', async () => {
    const spool = join(dir, 'known');
    expect(await refusal({ spool })).toMatchObject({ code: 'Unreachable' });
    const { connect: zookeeper } = await startFake();
    expect(await refusal({ spool, zookeeper })).toBe('it was opened');
    expect(await refusal({ spool })).toBe('it was opened');
  });

  test('waits for servers before, if waitForServersMs is set', async () => {
    const { connect: zookeeper } = await startFake();
    const startMs = performance.now();
    const given = { spool: join(dir, 'waits'), zookeeper, waitForServersMs: 3_000 };
    expect(await refusal(given)).toBe('it was opened');
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(5_000); // and two seconds for the brokers
  });

  test('creates no directory for options that are refused', async () => {
    expect(await refusal({ spool: join(dir, 'none'), brokers: [] })).toMatchObject({ code: 'Config' });
    expect(existsSync(join(dir, 'none'))).toBe(false);
  });
});

describe('openBus with waitForServersMs', () => {
  let hole: Hole;
  beforeEach(async () => {
    hole = await openHole();
  });
  afterEach(async () => {
    await hole.close();
    await cleanUp();
  });
  const lines: string[] = [];
  beforeEach(() => void (lines.length = 0));
  const waitFor = (options: BusGiven, signal?: AbortSignal): Promise<unknown> => {
    const given = { module: 'web', ...servers, ...options, ...(signal && { signal }) };
    return openBus({ log: false, ...given, onNotice: (one) => one.type === 'log' && lines.push(one.message) }).then(
      (bus) => bus.close().then(() => 'it was opened'),
      (error: unknown) => error,
    );
  };

  test('names a broker that accepts connections and never responds, at the limit', async () => {
    const { connect: zookeeper } = await startFake();
    const startMs = performance.now();
    const error = await waitFor({ brokers: [hole.place], zookeeper, waitForServersMs: '2s' });
    expect(error).toMatchObject({
      code: 'Unreachable',
      message: expect.stringMatching(
        `^Kafka at ${hole.place} \\(.*\\) did not respond within 2000 ms \\(waitForServersMs\\)`,
      ),
      details: { outcome: 'not-sent' },
    });
    expect(String(error)).not.toContain('ZooKeeper');
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(2_000);
    expect(lines[0]).toContain(`waits for Kafka at ${hole.place} `);
  });

  test('names ZooKeeper and Kafka when nothing listens at their addresses', async () => {
    const error = await waitFor({ waitForServersMs: 1_000 });
    expect(String(error)).toMatch(
      /Kafka at 127\.0\.0\.1:1 \(.*ECONNREFUSED.*\) and ZooKeeper at 127\.0\.0\.1:1 \(.*ECONNREFUSED.*\) did not respond/,
    );
  });

  test('does not wait for ZooKeeper when it has cached settings', async () => {
    const around = { clock: systemClock, random: systemRandom, notices: openNotices() };
    const cached = join(dir, 'cached');
    const cache = new SettingsCache({ ...around, dir: cached, ns: 'waits' });
    cache.keep([]);
    await cache.close();
    const error = await waitFor({ ns: 'waits', dir: cached, waitForServersMs: 1_000 });
    expect(String(error)).toMatch(/: Kafka at 127\.0\.0\.1:1 /);
    expect(String(error)).not.toContain('ZooKeeper');
  });

  test('rejects wrong options without a wait', async () => {
    const startMs = performance.now();
    const none = await waitFor({ zookeeperTlsCaFile: join(dir, 'none.pem'), waitForServersMs: '1h' });
    expect(none).toMatchObject({ code: 'Config', message: expect.stringContaining('zookeeperTlsCaFile') });
    expect(await waitFor({ brokers: [], waitForServersMs: '1h' })).toMatchObject({ code: 'Config' });
    expect(await waitFor({ waitForServersMs: -1 })).toMatchObject({ code: 'Config' });
    expect(performance.now() - startMs).toBeLessThan(30_000);
  });

  test('rejects with Cancelled when its signal aborts', async () => {
    const stop = new AbortController();
    const waiting = waitFor({ brokers: [hole.place], waitForServersMs: '1h' }, stop.signal);
    setImmediate(() => stop.abort('no longer needed'));
    expect(await waiting).toMatchObject({ code: 'Cancelled', details: { reason: 'no longer needed' } });
  });
});
