/** The rules for every implementation of the registry: live instances are listed, and others are not. */
import { isBusError } from '../../src/base/errors';
import type { Instance } from '../../src/ports/registry';
import {
  instanceOf,
  rejection,
  suite,
  type TestPorts,
  type TestProcess,
  type SuiteOptions,
} from '../support/conformance';

/** Watches a contract and keeps every list that the watcher gets. */
async function watch(one: TestProcess, contract: string) {
  const seen: (readonly Instance[])[] = [];
  const watching = await one.registry.watch(contract, (instances) => seen.push(instances));
  const names = (): string[] => (seen.at(-1) ?? []).map(({ name }) => name).sort();
  return {
    seen,
    names,
    close: () => watching.close(),
    shows:
      (...wanted: string[]) =>
      () =>
        sameList(names(), wanted.sort()),
  };
}
const sameList = (a: readonly string[], b: readonly string[]): boolean => JSON.stringify(a) === JSON.stringify(b);

export function conformsToRegistry(
  name: string,
  openPorts: () => Promise<TestPorts>,
  options: SuiteOptions = {},
): void {
  const testMs = options.testMs ?? 60_000;
  suite(`${name}: registry`, openPorts, options, (run) => {
    const test = (title: string, run: () => Promise<void>): void => it(title, run, testMs);

    test('shows existing instances before watch resolves, then each new one', async () => {
      const module = run.name('photos');
      const [a, b, c] = await run.processes(3);
      await a!.registry.announce(instanceOf(a!, `${module}#a`, module));
      const watching = await watch(c!, module);
      expect(watching.names()).toEqual([`${module}#a`]);
      await b!.registry.announce(instanceOf(b!, `${module}#b`, module));
      await run.wait(watching.shows(`${module}#a`, `${module}#b`), 'the second appears');
      const empty = await watch(c!, run.name('nobody'));
      expect(empty.seen).toEqual([[]]);
    });

    test('shows an instance with all announced fields', async () => {
      const module = run.name('photos');
      const [a, b] = await run.processes(2);
      const announced = instanceOf(a!, `${module}#0a1b`, module, {
        incarnation: 'ffee01',
        host: 'máquina-1',
        pid: 4_194_303,
        sinceMs: 1_790_000_000_123,
        version: '1.2.3-rc.1+5',
        serves: { [module]: 'abc', busbar: 'def' },
      });
      await a!.registry.announce(announced);
      const watching = await watch(b!, module);
      expect(watching.seen.at(-1)).toEqual([announced]);
      expect((await b!.registry.all()).find((one) => one.name === announced.name)).toEqual(announced);
    });

    test('shows an instance only to watchers of a contract that it serves', async () => {
      const [photos, web] = [run.name('photos'), run.name('web')];
      const [a, b] = await run.processes(2);
      const [onPhotos, onWeb] = [await watch(b!, photos), await watch(b!, web)];
      await a!.registry.announce(instanceOf(a!, `${photos}#a`, photos, { serves: { [web]: 'f' } }));
      await run.wait(onWeb.shows(`${photos}#a`), 'it appears to the watcher of web');
      expect(onPhotos.names()).toEqual([]);
    });

    test('shows each change of an announcement', async () => {
      const module = run.name('photos');
      const [a, b] = await run.processes(2);
      const watching = await watch(b!, module);
      const mine = instanceOf(a!, `${module}#a`, module);
      await a!.registry.announce(mine);
      await a!.registry.announce({ ...mine, leaving: true });
      await run.wait(() => watching.seen.at(-1)?.[0]?.leaving === true, 'it is seen leaving');
      await a!.registry.announce({ ...mine, serves: {} });
      await run.wait(watching.shows(), 'it no longer serves the contract');
      await a!.registry.announce(mine);
      await run.wait(watching.shows(`${module}#a`), 'it serves the contract again');
    });

    test('removes instances that have withdrawn, closed or died', async () => {
      const module = run.name('photos');
      const [a, b, c, d] = await run.processes(4);
      const watching = await watch(d!, module);
      for (const one of [a!, b!, c!])
        await one.registry.announce(instanceOf(one, `${module}#${one.messenger.address}`, module));
      await run.wait(() => watching.names().length === 3, 'all three are seen');
      await a!.registry.withdraw();
      await run.wait(() => watching.names().length === 2, 'the first one has withdrawn');
      await b!.registry.close();
      await run.wait(() => watching.names().length === 1, 'the second one has closed');
      await c!.crash();
      await run.wait(() => watching.names().length === 0, 'the third one is dead');
      expect((await d!.registry.all()).filter((one) => one.module === module)).toEqual([]);
    });

    test('finds only live instances by name', async () => {
      const module = run.name('photos');
      const [a, b] = await run.processes(2);
      const mine = instanceOf(a!, `${module}#a`, module);
      expect(await b!.registry.find(mine.name)).toBeUndefined();
      await a!.registry.announce(mine);
      expect(await b!.registry.find(mine.name)).toEqual(mine);
      await a!.registry.announce({ ...mine, serves: {} });
      expect(await b!.registry.find(mine.name)).toMatchObject({ name: mine.name, address: mine.address });
      await a!.registry.withdraw();
      expect(await b!.registry.find(mine.name)).toBeUndefined();
    });

    test('distinguishes a restarted instance from its predecessor by incarnation', async () => {
      const module = run.name('photos');
      const [a, b, c] = await run.processes(3);
      const watching = await watch(c!, module);
      await a!.registry.announce(instanceOf(a!, `${module}#a`, module, { incarnation: 'one' }));
      await a!.crash();
      await run.wait(watching.shows(), 'the first instance is dropped');
      await b!.registry.announce(instanceOf(b!, `${module}#a`, module, { incarnation: 'two' }));
      await run.wait(() => watching.seen.at(-1)?.[0]?.incarnation === 'two', 'the second instance is seen');
    });

    test('converges to the same live instances for all watchers', async () => {
      const module = run.name('photos');
      const all = await run.processes(8);
      const watching = await Promise.all(all.map((one) => watch(one, module)));
      await Promise.all(all.map((one, n) => one.registry.announce(instanceOf(one, `${module}#${n}`, module))));
      await Promise.all(all.slice(0, 3).map((one) => one.registry.withdraw()));
      const left = [3, 4, 5, 6, 7].map((n) => `${module}#${n}`);
      await run.wait(() => watching.every(({ shows }) => shows(...left)()), 'all see the same five');
    });

    test('calls no watcher after its watch or the registry is closed', async () => {
      const module = run.name('photos');
      const [a, b] = await run.processes(2);
      const open = await watch(b!, module);
      for (let round = 0; round < 5; round++) {
        const closed = await watch(b!, module);
        await a!.registry.announce(instanceOf(a!, `${module}#a`, module, { version: `${round}` }));
        await closed.close();
        const count = closed.seen.length;
        await run.wait(() => open.seen.at(-1)?.[0]?.version === `${round}`, 'the open one sees it');
        expect(closed.seen).toHaveLength(count);
      }
      await b!.registry.close();
      const count = open.seen.length;
      await a!.registry.withdraw();
      expect(open.seen).toHaveLength(count);
      expect(isBusError(await rejection(b!.registry.all()), 'Closed')).toBe(true);
    });
  });
}
