/** The gate that stops other processes from committing while LMDB opens: its waits, their order and their limits. */
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock';
import { closeGate, Gate } from '../../src/disk/gate';
import type { Holding } from '../../src/disk/lockfile';
import { virtualClock } from '../../src/memory';

let path = '';
beforeEach(() => (path = fs.mkdtempSync(join(tmpdir(), 'busbar-gate-'))));
afterEach(() => fs.rmSync(path, { recursive: true, force: true }));

const clockNow = () => virtualClock({ startMs: Date.now() });
const nobody = { holder: () => 'none' as const, lastTransaction: () => undefined };
const folder = () => join(path, 'opening');

test('a writer does not wait while no process opens the store', () => {
  expect(new Gate(path, clockNow()).wait()).toBeUndefined();
});

test('writers wait until the last opening process is done, and continue in order', async () => {
  const clock = clockNow();
  const gate = new Gate(path, clock);
  const [one, two] = [await closeGate(path, nobody, clock), await closeGate(path, nobody, clock)];
  const order: number[] = [];
  const writes = [1, 2, 3].map(async (n) => {
    await gate.wait();
    order.push(n);
  });
  await clock.advance(100);
  one();
  await clock.advance(100);
  expect(order).toEqual([]);
  two();
  await clock.advance(10);
  await Promise.all(writes);
  expect(order).toEqual([1, 2, 3]);
  expect(fs.readdirSync(path)).toEqual([]);
  expect(gate.wait()).toBeUndefined();
});

test('an opening process waits for 5 ms without a commit, but at most 100 ms', async () => {
  const clock = clockNow();
  let [committed, rests] = [7, false];
  const writers = { holder: () => 'none' as const, lastTransaction: () => (rests ? committed : committed++) };
  const opens = async (restsAfterMs: number): Promise<number> => {
    rests = false;
    const startMs = clock.mono();
    const opened = closeGate(path, writers, clock).then((open) => (open(), clock.mono() - startMs));
    await clock.advance(restsAfterMs);
    rests = true;
    await clock.advance(200 - restsAfterMs);
    return opened;
  };
  const soonMs = await opens(50);
  expect([soonMs > 54, soonMs < 62]).toEqual([true, true]);
  const latestMs = await opens(200);
  expect([latestMs >= 100, latestMs < 104]).toEqual([true, true]);
});

test.each<Holding>([{ pid: 1, stopped: false }, 'unknown'])(
  'an opening process waits for the holder of the write lock (%j)',
  async (first) => {
    const clock = clockNow();
    let holder = first;
    let isOpen = false;
    const opening = closeGate(path, { holder: () => holder, lastTransaction: () => 7 }, clock).then(
      () => (isOpen = true),
    );
    await clock.advance(40);
    expect(isOpen).toBe(false);
    holder = 'none';
    await clock.advance(20);
    await opening;
  },
);

test('a writer waits at most two seconds for a process that died while opening', async () => {
  const clock = clockNow();
  const gate = new Gate(path, clock);
  await closeGate(path, nobody, clock);
  let waitedMs = 0;
  for (let n = 0; n < 10; n++) {
    const wait = gate.wait();
    if (!wait) break;
    const startMs = clock.mono();
    let over = false;
    void wait.then(() => (over = true));
    for (let ms = 0; !over && ms < 2_000; ms += 2) await clock.advance(2);
    expect(clock.mono() - startMs).toBeLessThanOrEqual(1_010);
    waitedMs += clock.mono() - startMs;
    await clock.advance(2);
  }
  expect(waitedMs).toBeGreaterThan(1_500);
  expect(waitedMs).toBeLessThan(2_100);
  expect(fs.existsSync(folder())).toBe(false); // it was removed
});

test('opening succeeds although another process removes the folder three times', async () => {
  const real = fs.writeFileSync.bind(fs);
  let taken = 0;
  const write = jest.spyOn(fs, 'writeFileSync').mockImplementation((...given: Parameters<typeof real>) => {
    if (taken++ < 3) fs.rmdirSync(folder());
    return real(...given);
  });
  const open = await closeGate(path, nobody, systemClock);
  expect(fs.readdirSync(folder())).toHaveLength(1);
  write.mockRestore();
  open();
  expect(fs.readdirSync(path)).toEqual([]);
});

test('opening rejects with a remedy when the gate cannot be created', async () => {
  fs.writeFileSync(folder(), ''); // a file in place of the folder
  const opening = closeGate(path, nobody, systemClock);
  await expect(opening).rejects.toMatchObject({
    code: 'Unreachable',
    message: expect.stringMatching(
      /opening\/\S+ cannot be created: .*\. Check the permissions of its folder and the free disk space/,
    ),
  });
});
