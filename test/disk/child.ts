/** A process that runs one role on a store and prints its progress, for tests that stop or kill it. */
import { writeSync } from 'node:fs';
import { open } from 'lmdb';
import { systemClock } from '../../src/base/clock';
import { openStore } from '../../src/disk/lmdb';

const [role, path = ''] = process.argv.slice(2);
const key = (n: number): Buffer => Buffer.from(`key ${n}`);

/** Holds the write lock until it is killed. */
function hold(): void {
  const db = open({ path, encoding: 'binary', keyEncoding: 'binary', useVersions: true, overlappingSync: false });
  db.transactionSync(() => {
    writeSync(1, 'holding\n');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000);
  });
}

/** Writes groups of entries without end, and prints the number of each acknowledged group. */
async function pairs(): Promise<void> {
  const store = await openStore(path, { clock: systemClock, durable: true });
  for (let n = 0; ; n += 1) {
    const value = Buffer.from(`${n} `.repeat(200));
    const changes = ['a', 'b', 'c'].map((letter) => ({ key: Buffer.from(`${letter}${n}`), value }));
    await store.write(null, changes);
    writeSync(1, `${n}\n`);
  }
}

/** Writes until a write fails, and prints the error; an unhandled rejection would show in the exit code. */
async function failing(): Promise<void> {
  const store = await openStore(path, { clock: systemClock, durable: true });
  for (let n = 0; n < 2_000; n += 1) {
    try {
      await store.write(null, [{ key: key(n), value: Buffer.alloc(20_000, 7) }]);
    } catch (error) {
      writeSync(1, `failed after ${n}: ${String(error)}\n`);
      await store.write(null, [{ key: key(n), value: Buffer.alloc(10) }]).then(
        () => writeSync(1, 'and then: written\n'),
        (later: unknown) => writeSync(1, `and then: ${String(later)}\n`),
      );
      break;
    }
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
  await store.release();
  writeSync(1, 'ended in peace\n');
}

if (role === 'hold') hold();
else void (role === 'pairs' ? pairs() : failing());
