/** The checks of a data file before LMDB maps it. */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkLockFile, checkNotReplaced } from '../../src/disk/check';
import { virtualClock } from '../../src/memory';

const pageBytes = 4_096;
let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'busbar-check-'));
  path = join(folder, 'data.mdb');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Writes the head of a transaction, as LMDB does at the end of a commit. */
function commit(transaction: number): void {
  const head = Buffer.alloc(160);
  head.writeUInt16LE(0x08, 18); // a head page
  head.writeUInt32LE(0xbeefc0de, 24);
  head.writeUInt32LE(2, 28); // version of the format
  head.writeUInt32LE(pageBytes, 48);
  head.writeBigUInt64LE(BigInt(transaction), 152);
  const file = openSync(path, 'r+');
  writeSync(file, head, 0, head.length, (transaction % 2) * pageBytes);
  closeSync(file);
}
function create(): void {
  closeSync(openSync(path, 'w'));
  for (const transaction of [2, 3]) commit(transaction);
}

test('a commit of another process during the check is not taken for a replaced file', () => {
  create();
  const lock = {
    lastTransaction() {
      commit(4);
      return 4;
    },
  };
  expect(() => checkNotReplaced(path, lock)).not.toThrow();
});

test('a file that is older than what its users have written is refused with a remedy', () => {
  create();
  expect(() => checkNotReplaced(path, { lastTransaction: () => 4 })).toThrow(
    expect.objectContaining({
      code: 'Config',
      message: expect.stringMatching(/has transaction 3, but .* have written 4: the file was replaced\. Stop all/),
    }),
  );
  expect(() => checkNotReplaced(path, { lastTransaction: () => 3 })).not.toThrow();
});

test('a lock file that another process is initializing is waited for, and a damaged one is refused', async () => {
  const clock = virtualClock();
  let looks = 0;
  const lock = (soundFrom: number) => ({
    users: () => (++looks, [7]),
    faultBeforeOpening: () => (looks < soundFrom ? 'lock.mdb is damaged' : undefined),
  });
  const opening = checkLockFile(lock(3), clock);
  await clock.advance(1_000);
  expect(await opening).toEqual([7]);
  looks = 0;
  const refused = checkLockFile(lock(Infinity), clock);
  refused.catch(() => undefined);
  await clock.advance(2_000);
  await expect(refused).rejects.toMatchObject({ code: 'Config', message: 'lock.mdb is damaged' });
});
