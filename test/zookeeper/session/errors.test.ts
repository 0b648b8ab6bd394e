import { BusError } from '../../../src/base/errors';
import { busErrorOf, LostError, ServerError } from '../../../src/zookeeper/session/errors';

const said = (error: unknown) => busErrorOf(error, 'writing setting key', 'ZooKeeper at a:1', 12.6);

test('a lost connection is reported as Unreachable with its cause', () => {
  expect(said(new LostError('the server closed the connection'))).toMatchObject({
    code: 'Unreachable',
    message: 'writing setting key: ZooKeeper at a:1: the server closed the connection',
    details: { waitedMs: 13, cause: 'the server closed the connection' },
  });
});

test('a missing permission is NotAllowed, with a remedy', () => {
  for (const code of [-102, -115]) {
    expect(said(new ServerError(code, '/busbar/main'))).toMatchObject({
      code: 'NotAllowed',
      message: expect.stringMatching(/does not permit it: .*\/busbar\/main\. Connect as the user .*setAcl/),
    });
  }
});

test('other error codes are reported in words, or by their number', () => {
  expect(said(new ServerError(-125, '/a'))).toMatchObject({
    message: expect.stringContaining('a quota of the server'),
  });
  expect(said(new ServerError(-999, '/a'))).toMatchObject({ message: expect.stringContaining('code -999: /a') });
});

test('a BusError is returned unchanged', () => {
  const own = new BusError('Closed', 'closed', { outcome: 'not-sent', sinceMs: 1 });
  expect(said(own)).toBe(own);
});
