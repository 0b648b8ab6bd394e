/** Detects from an address whether its process runs, also when the pid was reused or the process is a zombie. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { systemRandom } from '../../../src/base/clock';
import {
  addressCharactersMax,
  isAddress,
  newAddress,
  isProcessRunning,
} from '../../../src/embedded/directory/process-liveness';
import { cleanUp, later, until } from '../../support/embedded-buses';

afterEach(cleanUp);

const own = newAddress(systemRandom);
/** Returns the address of this process with one part replaced: 0 the pid, 1 the start time, 2 the pid namespace. */
function withPart(at: number, value: string): string {
  return own.split('-').with(at, value).join('-');
}
/** The address that a bus of `pid` would have. */
function addressOf(pid: number): string {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
  const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  return own.split('-').with(0, String(pid)).with(1, start).join('-');
}
function start(command: string, ...args: readonly string[]): { pid: number; kill(signal: NodeJS.Signals): void } {
  const child = spawn(command, args, { stdio: 'ignore' });
  later(() => void child.kill('SIGKILL'));
  return { pid: child.pid ?? 0, kill: (signal) => void child.kill(signal) };
}

test('each new address is unique, short enough and valid', () => {
  const others = Array.from({ length: 1_000 }, () => newAddress(systemRandom));
  expect(new Set(others).size).toBe(1_000);
  for (const address of others) expect([address, isAddress(address)]).toEqual([address, true]);
  expect(own.length).toBeLessThanOrEqual(addressCharactersMax);
  for (const text of ['', 'x', '../s', `${own}/..`, `~${own}`, `${own} `]) expect(isAddress(text)).toBe(false);
});
test('only the address of a running process with the same start time is alive', () => {
  expect(isProcessRunning(own)).toBe(true);
  expect(isProcessRunning(withPart(0, '4194304'))).toBe(false);
  expect(isProcessRunning(withPart(1, '1'))).toBe(false);
  expect(isProcessRunning('nonsense')).toBe(false);
});
test('the liveness of an address of another pid namespace or boot is unknown', () => {
  expect(isProcessRunning(withPart(2, '00000000'))).toBeUndefined();
});
test('a stopped process is alive, a killed one is not', async () => {
  const child = start('sleep', '60');
  const address = addressOf(child.pid);
  expect(isProcessRunning(address)).toBe(true);
  child.kill('SIGSTOP');
  await until(() => fs.readFileSync(`/proc/${child.pid}/stat`, 'latin1').includes(') T '));
  expect(isProcessRunning(address)).toBe(true);
  child.kill('SIGKILL');
  await until(() => isProcessRunning(address) === false);
  expect(isProcessRunning(address)).toBe(false);
});
test.each(['openSync', 'readSync'] as const)(
  'a process whose state cannot be read (%s) is probed by a signal',
  async (call) => {
    const child = start('sleep', '60');
    const address = addressOf(child.pid);
    const none = Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
    const failing = jest.spyOn(fs, call).mockImplementation(() => {
      throw none;
    });
    later(() => failing.mockRestore());
    expect(isProcessRunning(address)).toBe(true);
    child.kill('SIGKILL');
    await until(() => isProcessRunning(address) === false);
  },
);
test('an address that is created while no file can be opened is alive', () => {
  const opening = jest.spyOn(fs, 'openSync').mockImplementation(() => {
    throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
  });
  later(() => opening.mockRestore());
  expect(isProcessRunning(newAddress(systemRandom))).toBe(true);
});
test('a zombie is not alive', async () => {
  // The shell becomes a program that never reaps its child.
  const parent = start('sh', '-c', 'sleep 0.05 & exec sleep 60');
  const children = `/proc/${parent.pid}/task/${parent.pid}/children`;
  const zombie = await until(() => Number(fs.readFileSync(children, 'latin1')) || undefined);
  const address = addressOf(zombie);
  await until(() => fs.readFileSync(`/proc/${zombie}/stat`, 'latin1').includes(') Z '));
  expect(isProcessRunning(address)).toBe(false);
});
test('a process whose name has brackets and spaces is alive', async () => {
  const dir = fs.mkdtempSync('/tmp/bb-');
  later(() => fs.rmSync(dir, { recursive: true }));
  fs.copyFileSync('/bin/sleep', `${dir}/a) Z (b`);
  fs.chmodSync(`${dir}/a) Z (b`, 0o755);
  const child = start(`${dir}/a) Z (b`, '60');
  await until(() => fs.readFileSync(`/proc/${child.pid}/stat`, 'latin1').includes('a) Z (b'));
  expect(isProcessRunning(addressOf(child.pid))).toBe(true);
});
test('a liveness check takes less than 50 µs', () => {
  // The best of many short rounds, because other processes use this machine too.
  const tookMs = Array.from({ length: 50 }, () => {
    const start = performance.now();
    for (let round = 0; round < 20; round++) isProcessRunning(own);
    return performance.now() - start;
  });
  expect(Math.min(...tookMs)).toBeLessThan(1);
});
