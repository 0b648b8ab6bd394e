import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import type { Mechanism, Security } from '../../src/kafka/client/security';
import { busErrorOf } from '../../src/kafka/protocol/errors';
import type { BrokerClient } from '../../src/kafka/client/broker-client';
import type { Listener } from '../cluster/cluster';
import { kafkaSuite } from '../cluster/suite';
import { leaderOf, makeTopic, openClient, record, refusal, sound } from '../support/kafka-client';

kafkaSuite(
  'the broker client with secured listeners',
  (suite) => {
    const wires: BrokerClient[] = [];
    let dir = '';
    beforeAll(() => {
      dir = mkdtempSync(path.join(os.tmpdir(), 'busbar-secrets-'));
      writeFileSync(path.join(dir, 'right'), `${suite.cluster.users.alice}\n`);
      writeFileSync(path.join(dir, 'wrong'), 'wr0ng-pa55word');
    });
    afterEach(async () => {
      await Promise.all(wires.splice(0).map((client) => client.close()));
    });
    afterAll(() => rmSync(dir, { recursive: true }));

    function open(listener: Listener, security: Security): BrokerClient {
      const client = openClient(suite.cluster.listeners[listener] ?? '', { security });
      wires.push(client);
      return client;
    }
    const tls = () => ({ caFile: suite.cluster.caFile });
    const login = (mechanism: Mechanism, password = 'right') =>
      ({ mechanism, username: 'alice', password: { file: path.join(dir, password) } }) as const;

    const ways: [Listener, Mechanism | undefined][] = [
      ['SSL', undefined],
      ['SASL_PLAINTEXT', 'PLAIN'],
      ['SASL_PLAINTEXT', 'SCRAM-SHA-256'],
      ['SASL_PLAINTEXT', 'SCRAM-SHA-512'],
      ['SASL_SSL', 'PLAIN'],
      ['SASL_SSL', 'SCRAM-SHA-512'],
    ];
    it.each(ways)('writes and reads over %s with %s', async (listener, mechanism) => {
      const client = open(listener, {
        ...(listener.endsWith('SSL') && { tls: tls() }),
        ...(mechanism && { sasl: login(mechanism) }),
      });
      const topic = `${suite.namespace}.${listener}.${mechanism ?? 'none'}`;
      await makeTopic(client, topic, 1);
      const at = await leaderOf(client, topic, 0, 'produce');
      sound(await client.produce(at, [{ topic, partition: 0, records: [record('kept apart')] }], 10_000));
      const partitions = [{ topic, partition: 0, offset: 0, bytesMax: 1_000 }];
      const [read] = sound(
        await client.fetch({ ...at, channel: 'tails' }, { partitions, maxWaitMs: 1_000, bytesMax: 1_000 }),
      );
      expect(read?.records[0]?.value?.toString()).toBe('kept apart');
    });

    it.each(['PLAIN', 'SCRAM-SHA-256'] as const)(
      'rejects a wrong password of %s with NotAllowed, and never prints the password',
      async (how) => {
        const client = open('SASL_PLAINTEXT', { sasl: login(how, 'wrong') });
        const error = await refusal(client.metadata([]));
        expect(error).toMatchObject({
          code: 'SASL_AUTHENTICATION_FAILED',
          fatal: true,
          retriable: false,
          uncertain: false,
        });
        expect(busErrorOf(error, 'asking for topics', 0).code).toBe('NotAllowed');
        expect(inspect([client, error], { depth: 20, showHidden: true })).not.toContain('wr0ng-pa55word');
      },
    );

    it('rereads a secret for each connection, so that it can be changed', async () => {
      const file = path.join(dir, 'changing');
      writeFileSync(file, 'wr0ng-pa55word');
      const client = open('SASL_PLAINTEXT', { sasl: login('PLAIN', 'changing') });
      expect((await refusal(client.metadata([]))).code).toBe('SASL_AUTHENTICATION_FAILED');
      writeFileSync(file, suite.cluster.users.alice ?? '');
      expect((await client.metadata([])).nodes.length).toBe(3);
    });

    it('rejects a certificate that is not configured as trusted', async () => {
      const error = await refusal(open('SSL', { tls: {} }).metadata([]));
      expect(error).toMatchObject({ code: 'TLS', fatal: true });
      expect(error.message).toContain('SELF_SIGNED');
      expect(busErrorOf(error, 'asking for topics', 0).code).toBe('Config');
    });

    it('suggests missing TLS or a missing login when a broker closes the connection first', async () => {
      const noLogin = await refusal(open('SASL_PLAINTEXT', {}).metadata([], 30_000));
      expect(noLogin.message).toContain('check whether the listener requires TLS or SASL');
      const noTls = await refusal(open('SSL', {}).metadata([], 30_000));
      expect(noTls).toMatchObject({ code: 'CONNECTION', retriable: true });
      const tooMuch = await refusal(open('PLAINTEXT', { tls: tls() }).metadata([], 30_000));
      expect(tooMuch.code).toMatch(/^(?:CONNECTION|TLS)$/);
      expect(busErrorOf(tooMuch, 'asking for topics', 0).message).toContain('the listener does not use TLS');
    });

    it('fails without a retry when a listener does not support a login', async () => {
      const error = await refusal(open('PLAINTEXT', { sasl: login('PLAIN') }).metadata([], 30_000));
      expect(error).toMatchObject({ code: 'ILLEGAL_SASL_STATE', fatal: true });
      expect(busErrorOf(error, 'asking for topics', 0).message).toContain('leave out saslUsername');
    });
  },
  { jars: true },
);
