/** The file of the settings last seen gets younger only while what is in it is known to hold. */
import fs from 'node:fs';
import { openNotices } from '../../src/base/notices';
import { seededRandom, virtualClock } from '../../src/memory/clock';
import { SettingsCache } from '../../src/zookeeper/settings/disk-cache';
import { cleanUp, freshDirectory } from './kit';
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

/** A file of a week ago, and what a start without ZooKeeper would read of it. */
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

test('settings that a full disk does not take leave the file as old as what is in it, until they can be written', async () => {
  const { clock, cache, settings, restored } = await scene();
  const disk = fullDisk();
  await restored();
  await clock.advance(3 * minuteMs);
  await cache.close(); // all that was begun is done
  expect(cache.read()).toEqual({ settings: old, ageMs: weekMs + 3 * minuteMs });
  disk.mockRestore();
  await clock.advance(minuteMs);
  await cache.close();
  expect(cache.read()).toEqual({ settings: said, ageMs: 0 });
  await settings.close();
});

test('what another process wrote over it is not confirmed but written again', async () => {
  const { clock, cache, openCache, settings, restored } = await scene();
  await restored();
  await cache.close();
  const other = openCache(); // which had read before, was slow, and is no more
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

test('processes that know the same make the file younger without writing it, in whatever order they were told', async () => {
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

test('while something cannot be read, or on a connection that was not read yet, nothing is confirmed', async () => {
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

test('a reading that ends after closing is neither kept nor shown', async () => {
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
