import fs from 'node:fs';
import path from 'node:path';
import { readSecret } from '../../../src/zookeeper/session/auth';
import { cleanUp, freshDirectory } from '../../support/zookeeper-sessions';

afterEach(cleanUp);

test('credentials are read from a variable, or from a file without its last line break', () => {
  expect(readSecret({ variable: 'ZK' }, { ZK: 'ann:a b:c' })).toBe('ann:a b:c');
  const file = path.join(freshDirectory(), 'secret');
  fs.writeFileSync(file, 'ann:pass\n');
  expect(readSecret({ file })).toBe('ann:pass');
});

test('a missing or malformed secret is named by its source, and never printed', () => {
  const faults: [() => string, RegExp][] = [
    [() => readSecret({ variable: 'ZK' }, {}), /^ZK: user and password for ZooKeeper are missing$/],
    [() => readSecret({ variable: 'ZK' }, { ZK: 'hunter2' }), /^ZK: the value is not user:password$/],
    [() => readSecret({ variable: 'ZK' }, { ZK: 'ann:x\nhunter2' }), /^ZK: the value is not user:password$/],
    [() => readSecret({ file: '/not/there' }), /cannot be read: .*\/not\/there/],
  ];
  for (const [read, message] of faults)
    expect(read).toThrow(expect.objectContaining({ code: 'Config', message: expect.stringMatching(message) }));
});
