/** Settings are read with one set of watches for each connection, and read again on the next connection. */
import { defaults, liveConfig } from '../../../src/config';
import { openSystem as system } from '../nodes';

test('repeated restores on one connection read once and set one watch', async () => {
  const { settings, restored, reads, most } = system();
  for (let n = 0; n < 20; n++) await restored();
  expect(reads.sort()).toEqual(['a', 'b']);
  expect(most()).toBe(1);
  await settings.close();
});

test('an unreadable setting is reread until it succeeds, with the same watch', async () => {
  const { settings, restored, unreadable, reads, most } = system();
  unreadable.add('a');
  for (let n = 0; n < 20; n++) await expect(restored()).rejects.toThrow('not now');
  unreadable.clear();
  await restored();
  let seen: readonly string[] = [];
  const watching = await settings.watch((all) => (seen = all.map(({ key, value }) => `${key}=${value}`).sort()));
  expect(seen).toEqual(['a=1', 'b=2']);
  expect(most()).toBe(1);
  expect(reads.filter((name) => name === 'b').length).toBeLessThan(4); // once, and once for the watcher
  await watching.close();
  await settings.close();
});

test('a setting recreated during an outage applies after the reconnect, also over a cached one', async () => {
  const key = 'photos.resize.concurrency';
  const { settings, nodes, rebuilt, clock, notices } = system();
  const live = liveConfig(defaults, notices, clock);
  const cached = [{ key, value: '2', version: 1 }];
  settings.assume(cached);
  live.take(cached);
  nodes.set(key, '8');
  const watching = await settings.watch((all) => live.take(all));
  expect(live.entry('photos.resize')).toEqual({ concurrency: 8 });
  nodes.set(key, '3');
  await rebuilt();
  expect(live.entry('photos.resize')).toEqual({ concurrency: 3 });
  await watching.close();
  await settings.close();
});
