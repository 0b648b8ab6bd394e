import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const script = join(__dirname, '..', '..', 'scripts', 'cluster.mjs');

test.each([
  [['--brokers', 'x'], '--brokers x is not a number from 1 to 9'],
  [['--brokers', '0'], '--brokers 0 is not a number from 1 to 9'],
  [['--kafka', '5'], '--kafka 5 is neither 4.1 nor 3.9'],
  [['--brokres', '1'], "Unknown option '--brokres'"],
])('npm run cluster with %j prints the mistake and its usage, and exits with 64', (args, says) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' });
  expect({ status, stdout }).toEqual({ status: 64, stdout: '' });
  expect(stderr).toContain(says);
  expect(stderr).toMatch(/\nusage: npm run cluster -- \[--brokers 1 to 9\] \[--kafka 4\.1\|3\.9\]\n$/);
  expect(stderr).not.toContain('    at ');
});
