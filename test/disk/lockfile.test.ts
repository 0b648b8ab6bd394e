/** The lock file: the holder of the write lock, and what counts as damage. */
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LockFile } from '../../src/disk/lockfile';

const mutexAt = process.arch === 'x64' ? 64 : 128;
/** The highest number of a thread on Linux is 2^22. */
const noThread = 2 ** 22 + 1;

let folder = '';
let lock: LockFile;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'busbar-lock-'));
  lock = new LockFile(join(folder, 'lock.mdb'));
});
afterEach(() => {
  jest.restoreAllMocks();
  lock.close();
  fs.rmSync(folder, { recursive: true, force: true });
});

function write(magic: number, thread: number): void {
  const bytes = Buffer.alloc(4_096);
  bytes.writeUInt32LE(magic, 0);
  bytes.writeUInt32LE(thread, mutexAt);
  fs.writeFileSync(join(folder, 'lock.mdb'), bytes);
}
const magic = 0xbeefc0de;

test('no process holds the lock of a missing, a new, and a released file', () => {
  expect(lock.holder()).toBe('none');
  write(0, 0);
  expect(lock.holder()).toBe('none');
  write(magic, 0);
  expect(lock.holder()).toBe('none');
  write(magic, 0x4000_0000); // its owner died
  expect([lock.holder(), lock.describeHolder()]).toEqual(['none', 'no process holds the write lock']);
});

test('a running process that holds the lock is named', () => {
  write(magic, process.pid);
  expect(lock.holder()).toEqual({ pid: process.pid, stopped: false });
  expect(lock.describeHolder()).toBe(`the write lock is held by process ${process.pid}`);
});

test('a thread that is not found, and a file that cannot be read, make the holder unknown', () => {
  write(magic, noThread);
  expect(lock.holder()).toBe('unknown');
  expect(lock.describeHolder()).toBe('the process that holds the write lock cannot be determined');
  lock.close();
  const opening = jest.spyOn(fs, 'openSync').mockImplementation(() => {
    throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
  });
  expect(lock.holder()).toBe('unknown');
  opening.mockRestore();
  write(0x1234, 0);
  expect(lock.holder()).toBe('unknown');
});

test('a read that fails proves no damage; foreign content and zeros do', () => {
  write(magic, 0);
  expect([lock.holder(), lock.isDamaged()]).toEqual(['none', false]);
  const reading = jest.spyOn(fs, 'readSync').mockImplementation(() => {
    throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
  });
  expect([lock.holder(), lock.isDamaged(), lock.faultBeforeOpening([1])]).toEqual(['unknown', false, undefined]);
  reading.mockRestore();
  for (const other of [0, 0x1234]) {
    write(other, 0);
    expect([lock.isDamaged(), lock.faultBeforeOpening([])]).toEqual([true, undefined]);
    expect(lock.faultBeforeOpening([7, 8])).toMatch('is damaged while other processes use it (7, 8)');
  }
});
