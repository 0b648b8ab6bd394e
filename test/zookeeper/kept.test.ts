/** The file of cached settings gets a newer time only while its content is known to be current. */
import fs from 'node:fs';
import { openNotices } from '../../src/base/notices';
import { seededRandom, virtualClock } from '../../src/memory/clock';
import { SettingsCache } from '../../src/zookeeper/settings/disk-cache';
import { cleanUp, freshDirectory } from '../support/zookeeper-sessions';
import { openSystem } from './nodes';

afterEach(async () => {
  jest.restoreAllMocks();
  await cleanUp();
});

const minuteMs = 60_000;
const weekMs = 7 * 24 * 60 * minuteMs;
const old = [{ key: 'a', value: 'old', version: 1 }];
const said = [
  { key: 'a', value: '1', version: 1 },
  { key: 'b', value: '2', version: 1 },
];

/** Settings with a cache file that was written a week ago. */
async function scene() {
  const clock = virtualClock();
  const dir = freshDirectory();
  let opened = 0;
  const openCache = () =>
    new SettingsCache({ dir, ns: 'main', clock, random: seededRandom(opened++), notices: openNotices() });
  const before = openCache();
  before.keep(old);
  await before.close();
  await clock.advance(weekMs);
  const cache = openCache();
  return { ...openSystem({ clock, cache }), cache, openCache };
}
const fullDisk = () => {
  const { open } = fs.promises;
  return jest.spyOn(fs.promises, 'open').mockImplementation(async (file, flags, mode) => {
    if (flags === 'r') return open(file, flags, mode);
    throw new Error('ENOSPC: no space left on device');
  });
};

test('the cache file keeps its age while a full disk prevents writing new settings', async () => {
  const { clock, cache, settings, restored } = await scene();
  const disk = fullDisk();
  await restored();
  await clock.advance(3 * minuteMs);
  await cache.close(); // every write that was started has ended
  expect(cache.read()).toEqual({ settings: old, ageMs: weekMs + 3 * minuteMs });
  disk.mockRestore();
  await clock.advance(minuteMs);
  await cache.close();
  expect(cache.read()).toEqual({ settings: said, ageMs: 0 });
  await settings.close();
});

test('a cache file that another process overwrote is written again, not confirmed', async () => {
  const { clock, cache, openCache, settings, restored } = await scene();
  await restored();
  await cache.close();
  const other = openCache(); // it had read the old settings, and writes them late
  other.keep(old);
  await other.close();
  expect(cache.read()?.settings).toEqual(old);
  await clock.advance(minuteMs);
  await cache.close();
  expect(cache.read()).toEqual({ settings: said, ageMs: 0 });
  other.keep(old);
  await other.close();
  await settings.close();
  expect(cache.read()).toEqual({ settings: said, ageMs: 0 });
});

test('processes with equal settings in any order refresh the age of the file without writing', async () => {
  const { clock, cache, openCache, settings, restored } = await scene();
  await restored();
  await cache.close();
  const rename = jest.spyOn(fs.promises, 'rename');
  await clock.advance(minuteMs / 2);
  const other = openCache();
  other.keep(said.toReversed());
  await other.close();
  expect(cache.read()).toEqual({ settings: said, ageMs: 0 });
  await clock.advance(minuteMs);
  await settings.close();
  expect(cache.read()).toEqual({ settings: said, ageMs: 0 });
  expect(rename).not.toHaveBeenCalled();
});

test('the cache is not confirmed while a setting or a new connection is unread', async () => {
  const { clock, cache, settings, restored, rebuilt, unreadable, tell } = await scene();
  await restored();
  unreadable.add('a');
  tell('a');
  await clock.advance(2 * minuteMs);
  await cache.close();
  expect(cache.read()).toEqual({ settings: said, ageMs: 2 * minuteMs });
  await expect(rebuilt()).rejects.toThrow('not now');
  await clock.advance(minuteMs);
  await settings.close();
  expect(cache.read()).toEqual({ settings: said, ageMs: 3 * minuteMs });
});

test('settings that are read after closing are neither cached nor passed to watchers', async () => {
  const { cache, settings, restored, rebuilt, nodes } = await scene();
  await restored();
  const seen: number[] = [];
  await settings.watch((all) => void seen.push(all.length));
  nodes.set('c', '3');
  const reading = rebuilt();
  await settings.close();
  await reading;
  await cache.close();
  expect(cache.read()?.settings).toEqual(said);
  expect(seen).toEqual([2]);
});
