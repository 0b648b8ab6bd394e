/** The rules for every implementation of settings: one writer wins each version, and every watcher converges to the last value. */
import { isBusError } from '../../src/base/errors';
import type { Setting } from '../../src/ports/settings';
import { rejection, suite, type TestPorts, type TestProcess, type SuiteOptions } from '../support/conformance';

/** Watches all settings and keeps the values of one key, with null while it is not set. */
async function watch(one: TestProcess, key: string) {
  const seen: (string | null)[] = [];
  const see = (settings: readonly Setting[]): void => {
    const value = settings.find((setting) => setting.key === key)?.value ?? null;
    if (seen.length === 0 || seen.at(-1) !== value) seen.push(value);
  };
  const watching = await one.settings.watch(see);
  return { seen, close: () => watching.close() };
}

export function conformsToSettings(
  name: string,
  openPorts: () => Promise<TestPorts>,
  options: SuiteOptions = {},
): void {
  const testMs = options.testMs ?? 60_000;
  suite(`${name}: settings`, openPorts, options, (run) => {
    const test = (title: string, run: () => Promise<void>): void => it(title, run, testMs);

    test('numbers the versions of a key from 1, readable by every process', async () => {
      const key = run.name('key');
      const [a, b] = await run.processes(2);
      expect(await a!.settings.get(key)).toBeUndefined();
      expect(await a!.settings.set(key, 'one', 0)).toBe(1);
      expect(await a!.settings.set(key, 'zwei 漢 🚌\n', 1)).toBe(2);
      const expected = { key, value: 'zwei 漢 🚌\n', version: 2 };
      expect(await b!.settings.get(key)).toEqual(expected);
      expect((await b!.settings.all()).find((setting) => setting.key === key)).toEqual(expected);
    });

    test('accepts any text as a key', async () => {
      const { settings } = await run.process();
      for (const end of ['a/b', 'ä ö', '.', '..', 'x'.repeat(100), 'a%2Fb', 'A', '#?*']) {
        const key = run.name(end);
        await settings.set(key, '', 0);
        expect(await settings.get(key)).toEqual({ key, value: '', version: 1 });
        await settings.set(key, null, 1);
      }
    });

    test('rejects a write on an outdated version with Conflict, and changes nothing', async () => {
      const key = run.name('key');
      const { settings } = await run.process();
      await settings.set(key, 'one', 0);
      await settings.set(key, 'two', 1);
      for (const was of [0, 1, 3]) {
        const error = await rejection(settings.set(key, 'late', was));
        expect(isBusError(error, 'Conflict')).toBe(true);
        expect(error).toMatchObject({ details: { key, expected: was, found: 2 } });
      }
      expect(isBusError(await rejection(settings.set(run.name('absent'), 'x', 1)), 'Conflict')).toBe(true);
      expect(await settings.get(key)).toEqual({ key, value: 'two', version: 2 });
    });

    test('removes a key, which can be set again', async () => {
      const key = run.name('key');
      const { settings } = await run.process();
      await settings.set(key, 'one', 0);
      expect(isBusError(await rejection(settings.set(key, null, 7)), 'Conflict')).toBe(true);
      await settings.set(key, null, 1);
      expect(await settings.get(key)).toBeUndefined();
      expect((await settings.all()).some((setting) => setting.key === key)).toBe(false);
      expect(isBusError(await rejection(settings.set(key, 'late', 1)), 'Conflict')).toBe(true);
      expect(await settings.set(key, 'again', 0)).toBeGreaterThan(0);
      expect((await settings.get(key))?.value).toBe('again');
    });

    test('lets exactly one of many writers win each version', async () => {
      const key = run.name('key');
      const writers = await run.processes(6);
      for (let version = 0; version < 5; version++) {
        const results = await Promise.allSettled(
          writers.map(({ settings }, n) => settings.set(key, `${version}:${n}`, version)),
        );
        const won = results.flatMap(({ status }, n) => (status === 'fulfilled' ? [n] : []));
        expect(won).toHaveLength(1);
        for (const result of results) {
          if (result.status === 'rejected') expect(isBusError(result.reason, 'Conflict')).toBe(true);
        }
        expect(await writers[0]!.settings.get(key)).toEqual({
          key,
          value: `${version}:${won[0]}`,
          version: version + 1,
        });
      }
    });

    test('shows existing settings before watch resolves, and converges to the newest value for every watcher', async () => {
      const key = run.name('key');
      const [a, b] = await run.processes(2);
      await a!.settings.set(key, 'first', 0);
      const watching = await Promise.all([a!, b!, a!, b!].map((one) => watch(one, key)));
      for (const { seen } of watching) expect(seen).toEqual(['first']);
      for (let version = 1; version <= 40; version++) await a!.settings.set(key, `${version}`, version);
      await run.wait(() => watching.every(({ seen }) => seen.at(-1) === '40'), 'all see the newest value');
      for (const { seen } of watching) {
        const order = seen.slice(1).map(Number);
        expect(order).toEqual([...order].sort((one, other) => one - other));
      }
      await b!.settings.set(key, null, 41);
      await run.wait(() => watching.every(({ seen }) => seen.at(-1) === null), 'all see that it was removed');
    });

    test('keeps a setting after the crash of its writer', async () => {
      const key = run.name('key');
      const [a, b] = await run.processes(2);
      await a!.settings.set(key, 'kept', 0);
      await a!.crash();
      expect((await b!.settings.get(key))?.value).toBe('kept');
      expect(await b!.settings.set(key, 'next', 1)).toBe(2);
    });

    test('calls no watcher after its watch is closed', async () => {
      const key = run.name('key');
      const one = await run.process();
      const { settings } = one;
      const open = await watch(one, key);
      for (let round = 0; round < 5; round++) {
        const closed = await watch(one, key);
        await settings.set(key, `${round}`, round);
        await closed.close();
        const count = closed.seen.length;
        await run.wait(() => open.seen.at(-1) === `${round}`, 'the open one sees it');
        expect(closed.seen).toHaveLength(count);
      }
      await settings.close();
      expect(isBusError(await rejection(settings.get(key)), 'Closed')).toBe(true);
    });
  });
}
