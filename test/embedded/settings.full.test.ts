/** Settings between processes: one writer wins each version, all watchers see it, and a restart loses nothing. */
import fs from 'node:fs';
import path from 'node:path';
import { livedMs } from '../elapsed';
import {
  cleanUp,
  clockWithout,
  freshDirectory,
  keptNotices,
  openBus,
  pollMs,
  startChild,
  until,
} from '../support/embedded-buses';

afterEach(async () => {
  jest.restoreAllMocks();
  await cleanUp();
});

const generations = (dir: string): number[] =>
  fs
    .readdirSync(path.join(dir, 'settings'))
    .map(Number)
    .sort((a, b) => a - b);

test('50 watchers see a write within a second', async () => {
  const dir = freshDirectory();
  const buses = await Promise.all(Array.from({ length: 50 }, () => openBus(dir)));
  const seen: string[][] = buses.map(() => []);
  for (const [at, { settings }] of buses.entries()) {
    await settings.watch((all) => (seen[at] = all.map(({ key, value }) => `${key}=${value}`)));
  }
  await buses[0]?.settings.set('level', 'debug', 0);
  expect(await livedMs(until(() => seen.every((one) => one[0] === 'level=debug')))).toBeLessThan(1_000);
});

test('a doorbell notifies a watcher without polling', async () => {
  const dir = freshDirectory();
  const [a, b] = [await openBus(dir), await openBus(dir, 'b', undefined, clockWithout(pollMs))];
  let seen = '';
  await b.settings.watch((all) => (seen = all[0]?.value ?? ''));
  for (let version = 0; version < 8; version++) {
    await a.settings.set('key', `${version}`, version);
    await until(() => seen === `${version}`);
  }
  expect(seen).toBe('7');
});

test('one of four writing processes wins each version, and the others get a Conflict', async () => {
  const dir = freshDirectory();
  const children = Array.from({ length: 4 }, () => startChild('settings', dir));
  for (const child of children) await child.next();
  const results: unknown[] = [];
  for (const child of children) {
    child.process.on('message', (message: object) => {
      if (!('seen' in message)) results.push(message);
    });
  }
  for (let version = 0; version < 10; version++) {
    results.length = 0;
    for (const [at, child] of children.entries()) child.tell(`key ${at} ${version}`);
    await until(() => results.length === children.length);
    expect(results.filter((result) => JSON.stringify(result) === `{"version":${version + 1}}`)).toHaveLength(1);
    const conflict = { code: 'Conflict', details: { key: 'key', expected: version, found: version + 1 } };
    expect(results).toEqual(expect.arrayContaining([conflict, conflict, conflict]));
  }
});

test('concurrent writers of different keys all succeed', async () => {
  const dir = freshDirectory();
  const buses = await Promise.all(Array.from({ length: 10 }, () => openBus(dir)));
  await Promise.all(buses.map(({ settings }, at) => settings.set(`key${at}`, 'x', 0)));
  expect(await buses[0]?.settings.all()).toHaveLength(10);
});

test('settings survive a restart, in files for their owner only', async () => {
  const dir = freshDirectory();
  const first = await openBus(dir);
  await first.settings.set('a', 'größer\n鍵', 0);
  await first.settings.set('b', '', 0);
  await first.close();
  const second = await openBus(dir);
  expect(await second.settings.all()).toEqual([
    { key: 'a', value: 'größer\n鍵', version: 1 },
    { key: 'b', value: '', version: 1 },
  ]);
  for (const number of generations(dir)) {
    expect(fs.statSync(path.join(dir, 'settings', String(number))).mode & 0o777).toBe(0o600);
  }
});

test('a process killed during a write leaves the last setting, and blocks no later write', async () => {
  const dir = freshDirectory();
  const child = startChild('settings', dir);
  await child.next();
  for (let version = 0; version < 200; version++) child.tell(`key ${version} ${version}`);
  await until(() => JSON.stringify(child.said()).includes('key='));
  await child.kill();
  const bus = await openBus(dir);
  const found = await bus.settings.get('key');
  expect(found?.value).toBe(String((found?.version ?? 0) - 1));
  expect(await bus.settings.set('key', 'after', found?.version ?? 0)).toBe((found?.version ?? 0) + 1);
});

test('only the last generations stay on the disk', async () => {
  const dir = freshDirectory();
  const { settings } = await openBus(dir);
  for (let version = 0; version < 40; version++) await settings.set('key', `${version}`, version);
  const kept = generations(dir);
  expect(kept.at(-1)).toBe(40);
  expect(kept).toHaveLength(16);
});

test('a writer that stalled during many other writes does not overwrite them', async () => {
  const dir = freshDirectory();
  const [sleeper, other] = [await openBus(dir), await openBus(dir)];
  await sleeper.settings.set('key', 'one', 0);
  await other.settings.set('else', '', 0);
  const real = fs.linkSync;
  // Between its read and its link, many other writes happen, so that the number it uses is free again.
  jest.spyOn(fs, 'linkSync').mockImplementationOnce((from, to) => {
    for (let number = 3; number <= 40; number++) {
      fs.copyFileSync(path.join(dir, 'settings', '2'), path.join(dir, 'settings', `${number}`));
    }
    for (let number = 1; number <= 24; number++) fs.rmSync(path.join(dir, 'settings', `${number}`));
    real(from, to);
  });
  expect(await sleeper.settings.set('key', 'two', 1)).toBe(2);
  expect(generations(dir).at(-1)).toBe(41);
  expect(generations(dir)).not.toContain(3);
  expect(await other.settings.get('key')).toEqual({ key: 'key', value: 'two', version: 2 });
});

test('a damaged file is reported with a remedy, and watchers keep their settings', async () => {
  const dir = freshDirectory();
  const { notices, kept } = keptNotices();
  const bus = await openBus(dir, 'a', notices);
  await bus.settings.set('key', 'good', 0);
  const seen: string[] = [];
  await bus.settings.watch((all) => seen.push(all.map(({ value }) => value).join()));
  fs.writeFileSync(path.join(dir, 'settings', '2'), '[{"key":1}]');
  await expect(bus.settings.get('key')).rejects.toMatchObject({
    code: 'Config',
    message: expect.stringMatching(/settings\/2 is damaged .*remove it to use the previous settings/),
  });
  await until(() => kept.some((notice) => notice.type === 'setting' && notice.change === 'refused'));
  expect(seen).toEqual(['good']);
  fs.rmSync(path.join(dir, 'settings', '2'));
  expect(await bus.settings.get('key')).toMatchObject({ value: 'good' });
});

test('more than 4 MB of settings are rejected, and nothing is written', async () => {
  const dir = freshDirectory();
  const { settings } = await openBus(dir);
  await settings.set('small', 'x', 0);
  await expect(settings.set('big', 'x'.repeat(4_100_000), 0)).rejects.toMatchObject({ code: 'TooLarge' });
  expect(await settings.all()).toHaveLength(1);
  expect(generations(dir)).toEqual([1]);
});

test('a write to a full disk rejects, and the settings stay', async () => {
  const dir = freshDirectory();
  const { settings } = await openBus(dir);
  await settings.set('key', 'one', 0);
  const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
  jest.spyOn(fs.promises, 'open').mockRejectedValueOnce(full);
  await expect(settings.set('key', 'two', 1)).rejects.toMatchObject({
    code: 'Unreachable',
    message: expect.stringMatching(/^cannot write \S+: ENOSPC: no space left on device\. Check the permissions/),
    retryable: true,
    details: { outcome: 'not-sent' },
  });
  expect(await settings.get('key')).toMatchObject({ value: 'one', version: 1 });
  expect(await settings.set('key', 'two', 1)).toBe(2);
});

test('a write that fails while it is published rejects with an unknown outcome', async () => {
  const { settings } = await openBus(freshDirectory());
  const failing = Object.assign(new Error('EIO: i/o error, link'), { code: 'EIO' });
  jest.spyOn(fs, 'linkSync').mockImplementationOnce(() => {
    throw failing;
  });
  await expect(settings.set('key', 'one', 0)).rejects.toMatchObject({
    code: 'Unreachable',
    details: { outcome: 'unknown' },
  });
});
