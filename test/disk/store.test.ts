/** Errors of LMDB that a read reports: those that prove damage stop the store, the others do not. */
import { systemClock } from '../../src/base/clock';
import { Condition } from '../../src/disk/condition';
import type { Environment } from '../../src/disk/environment';
import { makeStore } from '../../src/disk/store';

function reading(message: string) {
  const condition = new Condition('/log');
  const db = {
    getEntry(): never {
      throw new Error(message);
    },
  };
  // The cast: a read uses only these parts of an environment.
  const environment = { path: '/log', db, condition, look: () => undefined } as unknown as Environment;
  const store = makeStore(environment, { clock: systemClock, durable: true }, () => Promise.resolve());
  return { condition, read: () => store.version(Buffer.from('key')) };
}

test.each(['MDB_CORRUPTED', 'MDB_PAGE_NOTFOUND', 'MDB_BAD_TXN', 'MDB_PANIC'])('%s breaks the store', (code) => {
  const { condition, read } = reading(`${code}: what LMDB reports`);
  expect(read).toThrow(expect.objectContaining({ code: 'StoreBroken' }));
  expect(condition.fault).toMatchObject({ final: true, reason: expect.stringContaining(code) });
});

test('a full table of readers is thrown unchanged, and does not break the store', () => {
  const { condition, read } = reading('MDB_READERS_FULL: Environment maxreaders limit reached');
  expect(read).toThrow('MDB_READERS_FULL: Environment maxreaders limit reached');
  expect(condition.fault).toBeUndefined();
});
