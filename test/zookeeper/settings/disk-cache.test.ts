import fs from 'node:fs';
import path from 'node:path';
import { systemClock, systemRandom } from '../../../src/base/clock';
import { type Notice, openNotices } from '../../../src/base/notices';
import { SettingsCache } from '../../../src/zookeeper/settings/disk-cache';
import { cleanUp, freshDirectory } from '../../support/zookeeper-sessions';

afterEach(async () => {
  jest.restoreAllMocks();
  await cleanUp();
});

function openCache(dir: string, now = () => systemClock.now()) {
  const notices = openNotices();
  const told: Notice[] = [];
  notices.watch((notice) => told.push(notice));
  const clock = { ...systemClock, now };
  return { told, cache: new SettingsCache({ dir, ns: 'test', clock, random: systemRandom, notices }) };
}
const setting = (value: string) => ({ key: 'key', value, version: 1 });

test('the next process reads the settings kept last, with the time since their last confirmation', async () => {
  const dir = path.join(freshDirectory(), 'new');
  const { cache } = openCache(dir);
  expect(cache.read()).toBeUndefined();
  cache.keep([setting('one')]);
  cache.keep([setting('two')]);
  cache.keep([setting('größer 鍵\n')]);
  await cache.close();
  expect(fs.statSync(dir).mode & 0o777).toBe(0o700);
  expect(fs.statSync(cache.file).mode & 0o777).toBe(0o600);
  const later = systemClock.now() + 60_000;
  const after = openCache(dir, () => later).cache;
  expect(after.read()?.settings).toEqual([setting('größer 鍵\n')]);
  expect(Math.abs((after.read()?.ageMs ?? 0) - 60_000)).toBeLessThan(5_000);
  after.keep([setting('größer 鍵\n')]);
  await after.close();
  expect(after.read()?.ageMs).toBeLessThan(10);
});

test('only the last of many waiting lists is written', async () => {
  const { cache } = openCache(freshDirectory());
  const rename = jest.spyOn(fs.promises, 'rename');
  for (let n = 0; n < 100; n++) cache.keep([setting(`${n}`)]);
  await cache.close();
  expect(cache.read()?.settings).toEqual([setting('99')]);
  expect(rename.mock.calls.length).toBeLessThanOrEqual(2);
});

test('a full disk leaves the old file, is reported once, and leaves no draft', async () => {
  const dir = freshDirectory();
  const { cache, told } = openCache(dir);
  cache.keep([setting('good')]);
  await cache.close();
  jest.spyOn(fs.promises, 'open').mockRejectedValue(new Error('ENOSPC: no space left on device'));
  cache.keep([setting('bad')]);
  await cache.close();
  cache.keep([setting('worse')]);
  await cache.close();
  expect(cache.read()?.settings).toEqual([setting('good')]);
  expect(fs.readdirSync(dir)).toEqual(['test.settings.json']);
  expect(told).toEqual([
    expect.objectContaining({
      type: 'log',
      message: expect.stringMatching(/ENOSPC.*the next start can require ZooKeeper/),
    }),
  ]);
});

test('a damaged file, or one that other users can write, is rejected with a remedy', () => {
  const dir = freshDirectory();
  const { cache } = openCache(dir);
  const config = (message: RegExp) =>
    expect.objectContaining({ code: 'Config', message: expect.stringMatching(message) });
  for (const text of ['', '[{"key":1}]', '{}', '[null]']) {
    fs.writeFileSync(cache.file, text, { mode: 0o600 });
    expect(() => cache.read()).toThrow(config(/is damaged. Remove it/));
  }
  fs.writeFileSync(cache.file, '[]');
  fs.chmodSync(cache.file, 0o620);
  expect(() => cache.read()).toThrow(config(/can be written by other users. Remove it/));
  expect(() => openCache(cache.file)).toThrow(config(/cannot be created: .*EEXIST|ENOTDIR/));
});
