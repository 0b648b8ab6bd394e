/** Retention by age in a whole log, whose clock is set forward and whose long timers are 500 times as fast. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, systemRandom, type Clock } from '../../src/base/clock';
import { openNotices, type Notice } from '../../src/base/notices';
import { openEmbeddedLog } from '../../src/embedded/log';
import type { Log } from '../../src/ports/log';
import { until } from '../cluster/ports';

const topic = { name: 'photos.events', partitions: 2, compacted: false, keepMs: 60_000 };
/** Only the timer that starts the sweeps is as long as this. */
const sweepTimerMs = 20_000;
let sweeps = 0;
let dir: string;
let log: Log;
let aheadMs = 0;
const heard: Notice[] = [];
const clock: Clock = {
  now: () => Date.now() + aheadMs,
  mono: () => systemClock.mono(),
  after(delayMs, run) {
    if (delayMs < sweepTimerMs) return systemClock.after(delayMs, run);
    sweeps++;
    return systemClock.after(delayMs / 500, run);
  },
};

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'busbar-aging-'));
  aheadMs = 0;
  heard.splice(0);
  const neighbours = { address: 'a', alive: () => true, ring: () => undefined, onRing: () => () => undefined };
  const notices = openNotices();
  notices.watch((notice) => void heard.push(notice));
  log = await openEmbeddedLog({ dir, self: 'a', clock, random: systemRandom, notices, peers: neighbours });
  await log.ensure(topic);
});
afterEach(async () => {
  await log.close();
  rmSync(dir, { recursive: true, force: true });
});

const put = (partition: number, count: number) =>
  log.append(
    topic.name,
    Array.from({ length: count }, () => ({ partition, key: null, value: Buffer.from('x'), headers: {} })),
  );
const starts = async (): Promise<number[]> => (await log.bounds(topic.name)).map(({ start }) => start);

test('a clock set forward by a year removes only records that every group has read', async () => {
  await put(0, 3);
  await put(1, 3);
  await log.startGroup('t.search.index.photos.added', topic.name, 'end');
  await put(1, 2);
  aheadMs = 365 * 86_400_000;
  await until('the read records are removed', 20_000, async () => (await starts()).join() === '3,3');
  const before = sweeps;
  await until('three more sweeps are over', 20_000, async () => sweeps > before + 3);
  expect(await starts()).toEqual([3, 3]);
  await log.dropGroup('t.search.index.photos.added', topic.name);
  await until(
    'the records that the dropped group had not read are removed',
    20_000,
    async () => (await starts()).join() === '3,5',
  );
  expect(heard).toEqual([]);
});
