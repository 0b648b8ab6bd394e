/** Errors for operators when brokers reject a request: each names the resource, the user, the right and the option. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { busErrorOf, errorOf, KafkaError } from '../../../src/kafka/protocol/errors';
import { readLogin, readTls } from '../../../src/kafka/client/security';

const told = (code: string, message: string, user?: string) =>
  busErrorOf(new KafkaError(code, message), 'topic main.inbox', 10_000.7, user);

test('the error of a wrong password names its options and does not ask for permissions', () => {
  const error = told('SASL_AUTHENTICATION_FAILED', 'a:1: Authentication failed', 'alice');
  expect(error.code).toBe('NotAllowed');
  expect(error.message).toMatch(/check saslUsername \(alice\) and saslPasswordFile or BUSBAR_SASL_PASSWORD$/);
  expect(error.remedy).toBe('Correct saslUsername or the password.');
});

test('the error of a missing right names the right and the user', () => {
  const refused = busErrorOf(errorOf(29, 'main.inbox', null, 'Describe'), 'topic main.inbox', 0, 'alice');
  expect(refused).toMatchObject({
    code: 'NotAllowed',
    message:
      'topic main.inbox: TOPIC_AUTHORIZATION_FAILED: main.inbox requires the permission Describe; the user is alice',
  });
  expect(refused.remedy).toMatch(/^Grant the missing permission to the user/);
  expect(errorOf(30, 'main.web')?.message).toBe('GROUP_AUTHORIZATION_FAILED: main.web requires the permission Read');
  expect(errorOf(3, 'main.inbox', 'gone', 'Describe')?.message).toBe('UNKNOWN_TOPIC_OR_PARTITION: main.inbox: gone');
});

test('a login at a listener without SASL is a fatal Config error', () => {
  expect(errorOf(34, 'a:1')).toMatchObject({ code: 'ILLEGAL_SASL_STATE', fatal: true, retriable: false });
  const error = told('ILLEGAL_SASL_STATE', 'a:1: Request is not valid given the current SASL state');
  expect(error.code).toBe('Config');
  expect(error.message).toMatch(/the listener does not use SASL: leave out saslUsername, or name the port of another/);
});

test.each([
  ['TLS', 'a:1: self-signed certificate (SELF_SIGNED_CERT_IN_CHAIN)', 'set tlsCaFile to the authority'],
  [
    'TLS',
    "a:1: does not match certificate's altnames (ERR_TLS_CERT_ALTNAME_INVALID)",
    'use the host name of the certificate in brokers',
  ],
  ['TLS', 'a:1: wrong version number (ERR_SSL_WRONG_VERSION_NUMBER)', 'the listener does not use TLS: check tls'],
  [
    'CONNECTION',
    'a:1: Client network socket disconnected before secure TLS connection was established',
    'if this repeats, the listener does not use TLS: check tls',
  ],
])('a %s error with %s names the option to check', (code, message, hint) => {
  expect(told(code, message).message).toContain(hint);
});

test('a connection error omits internal codes, and has its waiting time in whole milliseconds', () => {
  const refused = new KafkaError('CONNECTION', 'a:1: connect ECONNREFUSED');
  const error = told('CONNECTION', `no broker answers: ${refused.message}`);
  expect(error.message).toBe('topic main.inbox: no broker answers: a:1: connect ECONNREFUSED');
  expect(error.details).toMatchObject({ waitedMs: 10_001 });
});

describe('a missing secret', () => {
  const dir = mkdtempSync(join(tmpdir(), 'busbar-absent-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  const file = join(dir, 'absent');
  const login = (password: { file: string } | { env: string }) => () =>
    readLogin({ sasl: { mechanism: 'PLAIN', username: 'alice', password } });

  test('is reported with its option', () => {
    expect(() => readTls({ tls: { caFile: file } })).toThrow(/^tlsCaFile: .*ENOENT/);
    expect(() => readTls({ tls: { keyFile: file } })).toThrow(/^tlsKeyFile: .*ENOENT/);
    expect(login({ file })).toThrow(/^saslPasswordFile: .*ENOENT/);
    expect(login({ env: 'BUSBAR_TEST_NONE' })).toThrow(
      'the password of alice is missing: neither saslPasswordFile nor the variable BUSBAR_TEST_NONE',
    );
  });
});
