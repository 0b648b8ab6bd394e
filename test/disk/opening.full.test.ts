/** Commits that are made while another process opens the same files must not be overwritten. */
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

/** Makes opening leave the number of the last transaction one too low, as after a commit during it. */
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
  }) as typeof open); // the store uses one of its overloads
}
const put = (store: Store, text: string): Promise<boolean> =>
  store.write(null, [{ key: Buffer.from(text), value: Buffer.from(text) }]);

test('a commit that another process makes during opening is kept, also after the next commit', async () => {
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

test('the gate is closed exactly while LMDB opens', async () => {
  const path = fs.mkdtempSync(join(tmpdir(), 'busbar-disk-'));
  undo.push(() => fs.rmSync(path, { recursive: true, force: true }));
  const { open } = lmdb;
  const seen: number[] = [];
  jest.spyOn(lmdb, 'open').mockImplementation(((...args: Parameters<typeof open>) => {
    seen.push(fs.readdirSync(join(path, 'opening')).length);
    return open(...args);
  }) as typeof open); // the store uses one of its overloads
  const store = await openStore(path, { clock: systemClock, durable: true });
  undo.push(() => store.release());
  expect(seen).toEqual([1]);
  expect(fs.readdirSync(path).sort()).toEqual(['data.mdb', 'lock.mdb']);
  expect(await put(store, 'one')).toBe(true);
});

test('writes wait while another process opens the store, and keep their order', async () => {
  const path = fs.mkdtempSync(join(tmpdir(), 'busbar-disk-'));
  undo.push(() => fs.rmSync(path, { recursive: true, force: true }));
  const store = await openStore(path, { clock: systemClock, durable: true });
  undo.push(() => store.release());
  const another = join(path, 'opening', '1-0');
  fs.mkdirSync(join(path, 'opening'));
  fs.writeFileSync(another, '');
  await new Promise((resolve) => setTimeout(resolve, 2)); // longer than one check of the folder is valid
  const written: string[] = [];
  const writes = ['a', 'b', 'c'].map(async (text) => {
    await put(store, text);
    written.push(text);
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  store.refresh();
  expect(store.entry(Buffer.from('a'))).toBeUndefined();
  fs.rmSync(another);
  await Promise.all(writes);
  expect(written).toEqual(['a', 'b', 'c']);
});
