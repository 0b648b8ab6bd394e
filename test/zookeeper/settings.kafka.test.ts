/** Settings on a real ZooKeeper: many watchers, the cache on disk for a start without ZooKeeper, and permissions. */
import fs from 'node:fs';
import path from 'node:path';
import { livedMs, quickest } from '../elapsed';
import { beginToOpen, cleanUp, freshDirectory, instance, later, open } from '../support/zookeeper-sessions';
import { tookMs, until, watchNames, watchSettings } from '../support/zookeeper-sessions';
import { zookeeperSuite } from './suite';

/** The session of instances that must survive stalls of the machine. */
const sessionMs = 10_000;

zookeeperSuite('settings on ZooKeeper', (suite) => {
  afterEach(cleanUp);
  const openOne = () => open({ connect: suite.connect, ns: suite.ns, sessionMs });

  test('fifty instances see a change within a second', async () => {
    const all: Awaited<ReturnType<typeof openOne>>[] = [];
    // Fifty opened at once overload one process. Only the change is measured, so they are opened ten at a time.
    while (all.length < 50) all.push(...(await Promise.all(Array.from({ length: 10 }, openOne))));
    const seen = await Promise.all(all.map(watchSettings));
    const changeMs = async (round: number): Promise<number> => {
      const took = await tookMs(async () => {
        await all[0]?.settings.set('fifty', `${round}`, round - 1);
        await until('all see it', () => seen.every(({ last }) => last.includes(`fifty=${round}`)));
      });
      process.stdout.write(`50 instances see a change of settings after ${Math.round(took)} ms\n`);
      return took;
    };
    expect(await quickest(1_000, changeMs)).toBeLessThan(1_000);
  });

  test('a node that an operator writes with another tool is a setting', async () => {
    const [one, tool] = [await openOne(), await openOne()];
    const seen = await watchSettings(one);
    await tool.session.connection?.create(`/busbar/${suite.ns}/settings/logLevel`, 'debug');
    await until('it is seen', () => seen.last.includes('logLevel=debug'));
    expect(await one.settings.get('logLevel')).toEqual({ key: 'logLevel', value: 'debug', version: 1 });
    await tool.session.connection?.write(`/busbar/${suite.ns}/settings/logLevel`, 'warn', -1);
    await until('it is seen', () => seen.last.includes('logLevel=warn'));
    await tool.session.connection?.remove(`/busbar/${suite.ns}/settings/logLevel`, -1);
    await until('it is removed', () => !seen.last.some((one) => one.startsWith('logLevel')));
  });

  test('a setting that is too large is rejected before it is sent', async () => {
    const one = await openOne();
    await expect(one.settings.set('large', 'x'.repeat(1_000_001), 0)).rejects.toMatchObject({ code: 'TooLarge' });
    await expect(one.settings.set('k'.repeat(5_000), 'x', 0)).rejects.toMatchObject({ code: 'TooLarge' });
    await expect(one.settings.set('\ud800', 'x', 0)).rejects.toMatchObject({ code: 'Invalid' });
    expect(await one.settings.set('large', 'x'.repeat(1_000_000), 0)).toBe(1);
    expect((await one.settings.get('large'))?.value).toHaveLength(1_000_000);
    await one.settings.set('large', null, 1);
  });

  describe('for one user', () => {
    const user = (password: string) => {
      const variable = `ZOOKEEPER_TEST_${password.toUpperCase()}`;
      process.env[variable] = `ann:${password}`;
      later(() => delete process.env[variable]);
      return { variable };
    };
    const openAs = (auth: { variable: string; worldRead?: boolean }, ns = `${suite.ns}u`) =>
      beginToOpen({ connect: suite.connect, ns, sessionMs, auth });

    test('only clients with the same password can read, and others get NotAllowed', async () => {
      const right = await openAs(user('right')).opening;
      await right.settings.set('key', 'value', 0);
      await right.registry.announce(instance('secret#1'));
      const [same, wrong] = [await openAs(user('right')).opening, openAs(user('wrong'))];
      expect((await same.settings.get('key'))?.value).toBe('value');
      expect((await watchNames(same, 'secret')).at(-1)).toEqual(['secret#1']);
      const error: unknown = await wrong.opening.catch((thrown: unknown) => thrown);
      // It can see that the folders exist, but not their content.
      expect(error).toMatchObject({ code: 'NotAllowed', message: expect.stringContaining('does not permit it') });
      expect(`${String(error)}${JSON.stringify(wrong.notices)}`).not.toMatch(/:wrong|:right/);
      const nobody: unknown = await open({ connect: suite.connect, ns: `${suite.ns}u`, sessionMs }).catch(
        (thrown: unknown) => thrown,
      );
      expect(nobody).toMatchObject({ code: 'NotAllowed' });
    });

    test('with worldRead, other clients can read but not write', async () => {
      const ns = `${suite.ns}w`;
      const right = await openAs({ ...user('right'), worldRead: true }, ns).opening;
      await right.settings.set('key', 'value', 0);
      const reader = await open({ connect: suite.connect, ns, sessionMs });
      expect((await reader.settings.get('key'))?.value).toBe('value');
      await expect(reader.settings.set('key', 'mine', 1)).rejects.toMatchObject({ code: 'NotAllowed' });
      await expect(reader.registry.announce(instance('reader#1'))).rejects.toMatchObject({ code: 'NotAllowed' });
      expect(await right.registry.all()).toEqual([]);
    });

    test('a namespace that was created without a user is reported as open to all', async () => {
      const ns = `${suite.ns}o`;
      await open({ connect: suite.connect, ns, sessionMs });
      const { notices } = await openAs(user('right'), ns).opening;
      expect(notices).toContainEqual(
        expect.objectContaining({
          type: 'log',
          message: expect.stringContaining('because it was created without a user'),
        }),
      );
    });
  });
});

zookeeperSuite(
  'a start without ZooKeeper',
  (suite) => {
    const waitMs = 4_000;
    afterEach(async () => {
      await cleanUp();
      await suite.server.restart();
    });
    const openWith = (cacheDir?: string, sessionMs = 10_000) =>
      beginToOpen({ connect: suite.connect, ns: suite.ns, sessionMs, ...(cacheDir !== undefined && { cacheDir }) });
    /** Waits a session time-out for ZooKeeper. */
    const openInVain = (cacheDir?: string) => openWith(cacheDir, waitMs);

    test('uses the cached settings, reports their age, and applies new ones after the outage', async () => {
      const cacheDir = path.join(freshDirectory(), 'made', 'here');
      const before = await openWith(cacheDir).opening;
      await before.settings.set('cached', 'old', 0);
      const seen = await watchSettings(before);
      await until('it is seen', () => seen.last.includes('cached=old'));
      await before.close();
      const file = path.join(cacheDir, `${suite.ns}.settings.json`);
      expect(fs.statSync(file).mode & 0o777).toBe(0o600);
      expect(fs.readdirSync(cacheDir)).toEqual([path.basename(file)]);
      const hoursAgo = Date.now() / 1_000 - 3 * 3_600;
      fs.utimesSync(file, hoursAgo, hoursAgo);
      await suite.server.kill();

      const beginning = openInVain(cacheDir);
      expect(await livedMs(beginning.opening)).toBeLessThan(waitMs + 1_000);
      const opened = await beginning.opening;
      expect(opened.notices).toEqual([
        {
          type: 'state',
          part: 'zookeeper',
          ok: false,
          reason: expect.stringMatching(/does not answer \(.*ECONNREFUSED.*settings of 3 h ago \(.*settings\.json\)/),
        },
      ]);
      const now = await watchSettings(opened);
      expect(now.last).toEqual(['cached=old']);
      await opened.registry.announce(instance('patient#1'));
      await expect(opened.settings.get('cached')).rejects.toMatchObject({ code: 'Unreachable' });
      await suite.server.restart();
      await until('it is back', () => opened.state()?.ok);
      const other = await openWith().opening;
      expect((await watchNames(other, 'patient')).at(-1)).toEqual(['patient#1']);
      await other.settings.set('cached', 'new', 1);
      await until('it is seen', () => now.last.includes('cached=new'));
    });

    test('rejects without cached settings, with a remedy', async () => {
      await suite.server.kill();
      for (const cacheDir of [undefined, freshDirectory()]) {
        const error: unknown = await openInVain(cacheDir).opening.catch((thrown: unknown) => thrown);
        expect(error).toMatchObject({
          code: 'Unreachable',
          message: expect.stringMatching(
            /^ZooKeeper at 127\.0\.0\.1:\d+ does not answer \(.*ECONNREFUSED.*\), and (.* has no settings of an earlier run|dir is not set, so no settings of an earlier run are known)\. Start ZooKeeper, or correct its address$/,
          ),
        });
      }
    });

    test('rejects a cache file that is damaged or writable by other users', async () => {
      const cacheDir = freshDirectory();
      const before = await openWith(cacheDir).opening;
      await watchSettings(before);
      await before.close();
      await suite.server.kill();
      const file = path.join(cacheDir, `${suite.ns}.settings.json`);
      fs.chmodSync(file, 0o666);
      await expect(openInVain(cacheDir).opening).rejects.toMatchObject({
        code: 'Unreachable',
        message: expect.stringMatching(/does not answer.*can be written by other users\. Remove it\. Start ZooKeeper/),
      });
      fs.chmodSync(file, 0o600);
      fs.writeFileSync(file, '[{"key":1}]');
      await expect(openInVain(cacheDir).opening).rejects.toMatchObject({
        code: 'Unreachable',
        message: expect.stringMatching(/does not answer.*is damaged\. Remove it\. Start ZooKeeper/),
      });
    });
  },
  { faults: true },
);
