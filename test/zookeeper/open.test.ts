import { addressesIn, describeAge } from '../../src/zookeeper/open';

test('addresses are names, IPv4 or IPv6, with a port or the default port', () => {
  expect(addressesIn('zk-1.example:2182, 10.0.0.1,[::1]:21811')).toEqual([
    { host: 'zk-1.example', port: 2182 },
    { host: '10.0.0.1', port: 2181 },
    { host: '::1', port: 21811 },
  ]);
});

test('an invalid address is rejected with the quoted address', () => {
  for (const wrong of ['', 'a,,b', 'a:0', 'a:99999', 'a:b', 'http://a', 'a/chroot', '::1', 'user@host:1'])
    expect(() => addressesIn(wrong)).toThrow(
      expect.objectContaining({ code: 'Config', message: expect.stringMatching(/'.*' is not host:port/) }),
    );
});

test('an age is printed in the largest unit that gives at least two', () => {
  const minute = 60_000;
  expect([0, 5_400, 119_000, 3 * minute, 100 * minute, 30 * 60 * minute, 50 * 60 * minute].map(describeAge)).toEqual([
    '0 s',
    '5 s',
    '119 s',
    '3 min',
    '100 min',
    '30 h',
    '2 days',
  ]);
});
