/** A process that does one thing to a store and says so, to be stopped or killed by a test. */
import { writeSync } from 'node:fs';
import { open } from 'lmdb';
import { systemClock } from '../../src/base/clock';
import { openStore } from '../../src/disk/lmdb';

const [role, path = ''] = process.argv.slice(2);
const key = (n: number): Buffer => Buffer.from(`key ${n}`);

/** Keeps the write lock until it is killed. */
function hold(): void {
  const db = open({ path, encoding: 'binary', keyEncoding: 'binary', useVersions: true, overlappingSync: false });
  db.transactionSync(() => {
    writeSync(1, 'holding\n');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000);
  });
}

/** Writes pairs that belong together for ever, and says which ones were acknowledged. */
async function pairs(): Promise<void> {
  const store = await openStore(path, { clock: systemClock, durable: true });
  for (let n = 0; ; n += 1) {
    const value = Buffer.from(`${n} `.repeat(200));
    const changes = ['a', 'b', 'c'].map((letter) => ({ key: Buffer.from(`${letter}${n}`), value }));
    await store.write(null, changes);
    writeSync(1, `${n}\n`);
  }
}

/** Writes until something goes wrong, and says what; the end of the process tells whether a rejection went unheard. */
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
