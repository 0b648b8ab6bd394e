/** The room on a disk: what an append leaves is enough for a commit, however many processes use the store. */
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock';
import { StoreFiles } from '../../src/disk/files';
import { openStore } from '../../src/disk/lmdb';
import { bytesOf, Room } from '../../src/disk/room';

test.each([0, 7, 30])('a commit and a trim have room where an append has none (%d other processes)', async (others) => {
  const path = fs.mkdtempSync(join(tmpdir(), 'busbar-room-'));
  const store = await openStore(path, { clock: systemClock, durable: false });
  await store.write(null, [{ key: Buffer.from('k'), value: Buffer.from('v') }]);
  const files = new StoreFiles(path);
  const room = new Room({ path, files, mapBytes: 2 ** 40, others: () => others });
  // A disk on which other files leave `leftBytes`. The room of the data file is part of them.
  let leftBytes = 2 * 1024 ** 2;
  const before = fs.statSync(files.dataPath).size;
  const disk = fs.statfsSync(path);
  const asked = jest.spyOn(fs, 'statfsSync').mockImplementation(() => {
    const freeBytes = leftBytes - (fs.statSync(files.dataPath).size - before);
    return Object.assign(disk, { type: 0xef53, bsize: 1, blocks: 1024 ** 3, bavail: freeBytes });
  });
  try {
    const append = bytesOf([{ key: Buffer.alloc(20), value: Buffer.alloc(1_000) }]);
    const commit = bytesOf([{ key: Buffer.alloc(60), value: Buffer.alloc(65_542) }]);
    const trim = bytesOf([
      { key: Buffer.alloc(20), value: null },
      { key: Buffer.alloc(20), value: Buffer.from([1]) },
    ]);
    // The most that is left while an append has no room.
    const commits: boolean[] = [];
    const trims: boolean[] = [];
    for (; room.fault(append, true) !== undefined; leftBytes += 64 * 1024) {
      commits.push(room.fault(commit, false) === undefined);
      trims.push(room.fault(trim, false) === undefined);
    }
    expect([commits.at(0), commits.at(-1), trims.at(0), trims.at(-1)]).toEqual([false, true, false, true]);
  } finally {
    asked.mockRestore();
    room.close();
    files.close();
    await store.release();
    fs.rmSync(path, { recursive: true, force: true });
  }
});
