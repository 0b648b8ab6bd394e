/** What was committed while LMDB opens the same files in another process must not be written over. */
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as lmdb from 'lmdb';
import { systemClock } from '../../src/base/clock';
import { openStore, type Store } from '../../src/disk/lmdb';

const undo: (() => unknown)[] = [];
afterEach(async () => {
  jest.restoreAllMocks();
  for (let run = undo.pop(); run !== undefined; run = undo.pop()) await run();
});

/** From now on opening leaves the last transaction's number one too low, as after a commit in the midst of it. */
function setBackByOpening(path: string): void {
  const { open } = lmdb;
  const number = Buffer.alloc(8);
  jest.spyOn(lmdb, 'open').mockImplementation(((...args: Parameters<typeof open>) => {
    const db = open(...args);
    // Not closed before the test ends: LMDB's own locks on the file would go with it.
    const file = fs.openSync(join(path, 'lock.mdb'), 'r+');
    undo.unshift(() => fs.closeSync(file));
    fs.readSync(file, number, 0, 8, 8);
    number.writeBigUInt64LE(number.readBigUInt64LE() - 1n);
    fs.writeSync(file, number, 0, 8, 8);
    return db;
  }) as typeof open); // of its overloads the store uses one
}
const put = (store: Store, text: string): Promise<boolean> =>
  store.write(null, [{ key: Buffer.from(text), value: Buffer.from(text) }]);

test('a commit that another process made while this one opened is there, also after the next one', async () => {
  const path = fs.mkdtempSync(join(tmpdir(), 'busbar-disk-'));
  undo.push(() => fs.rmSync(path, { recursive: true, force: true }));
  const before = await openStore(path, { clock: systemClock, durable: true });
  await put(before, 'one');
  await put(before, 'two');
  await before.release();
  setBackByOpening(path);
  const store = await openStore(path, { clock: systemClock, durable: true });
  undo.push(() => store.release());
  await put(store, 'three');
  store.refresh();
  const there = ['one', 'two', 'three'].map((text) => store.entry(Buffer.from(text))?.value.toString());
  expect(there).toEqual(['one', 'two', 'three']);
});
