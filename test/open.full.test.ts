/** Options that openBus refuses before it connects to any server. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BusGiven } from '../src/options';
import { openBus } from '../src/index';

const servers = { transport: 'kafka', brokers: ['127.0.0.1:1'], zookeeper: '127.0.0.1:1', sessionMs: 500 } as const;
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'busbar-open-'));
  writeFileSync(join(dir, 'auth'), 'ann:pass');
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const refusal = (options: BusGiven): Promise<unknown> =>
  openBus({ module: 'web', ...servers, ...options }).then(
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
