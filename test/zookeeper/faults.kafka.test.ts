/** What goes on while a real ZooKeeper is frozen, killed, restarted or forgets a session, and what is right after it. */
import { systemClock } from '../../src/base/clock';
import { connect as connectTo } from '../../src/zookeeper/session/connection';
import { livedMs } from '../elapsed';
import { cleanUp, instance, later, open, type Opened, until, watchNames, watchSettings } from './kit';
import { zookeeperSuite } from './suite';

const sessionMs = 2_000;
/** The issue asks for 60,000; nothing changes after the sessions' own time. */
const goneMs = Number(process.env['ZOOKEEPER_GONE_MS'] ?? 6_000);
const frozenMs = 10_000;

zookeeperSuite(
  'faults of ZooKeeper',
  (suite) => {
    afterEach(cleanUp);
    const openOne = () => open({ connect: suite.connect, ns: suite.ns, sessionMs });
    let count = 0;

    /** Two instances of a module of its own, a third that watches them, and a setting that it watches. */
    async function scene() {
      const [module, key] = [`photos${++count}`, `key${count}`];
      const [one, two, caller] = [await openOne(), await openOne(), await openOne()];
      await one.registry.announce(instance(`${module}#1`));
      await two.registry.announce(instance(`${module}#2`));
      await one.settings.set(key, 'before', 0);
      const names = await watchNames(caller, module);
      const settings = await watchSettings(caller);
      await until('both are seen', () => names.at(-1)?.length === 2);
      const values = () => settings.last.find((one) => one.startsWith(`${key}=`));
      await until('the setting is seen', () => values() === `${key}=before`);
      return { module, key, one, two, caller, names, values };
    }
    const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
    const code = (promise: Promise<unknown>) =>
      promise.then(
        () => 'done',
        (error: { code?: unknown }) => error.code,
      );
    async function isWell({ module, key, one, two, caller, names, values }: Awaited<ReturnType<typeof scene>>) {
      for (const each of [one, two, caller]) await until('it is told', () => each.state()?.ok !== false, 20_000);
      await one.settings.set(key, 'after', 1);
      await until('the change is seen', () => values() === `${key}=after`);
      await two.registry.announce({ ...instance(`${module}#2`), version: '2' });
      await one.registry.withdraw();
      // Soon, unless it is within the time in which whoever is missing is given the benefit of the doubt.
      await until('the withdrawal is seen', () => names.at(-1)?.join() === `${module}#2`, 3 * sessionMs + 5_000);
      expect((await caller.registry.all()).filter((one) => one.module === module)).toMatchObject([{ version: '2' }]);
    }

    test('frozen for ten seconds: nobody is missed, calls end, all is told, and all is well after it', async () => {
      const here = await scene();
      await suite.server.freeze();
      later(() => suite.server.thaw());
      await wait(200); // until all its threads stand still
      const start = performance.now();
      const calls = [here.one.settings.get(here.key), here.one.settings.set(here.key, 'x', 7), here.two.registry.all()];
      const codes = Promise.all(calls.map(code));
      expect(await livedMs(codes)).toBeLessThan(sessionMs + 1_000);
      expect(await codes).toEqual(['Unreachable', 'Unreachable', 'Unreachable']);
      expect(here.caller.state()).toMatchObject({ ok: false, reason: expect.stringContaining('going on with what') });
      // Who begins to watch now sees what was seen last.
      expect((await watchNames(here.caller, here.module)).at(-1)).toEqual([`${here.module}#1`, `${here.module}#2`]);
      expect((await watchSettings(here.caller)).last).toContain(`${here.key}=before`);
      await wait(frozenMs - (performance.now() - start));
      await suite.server.thaw();
      await until('it is back', () => here.caller.state()?.ok, 20_000);
      // Their sessions have expired; nobody may have been missed meanwhile.
      await wait(sessionMs);
      expect(here.names.every((names, at) => at === 0 || names.length === 2)).toBe(true);
      await isWell(here);
    }, 60_000);

    test('killed and gone for a while: as frozen, and sessions go on', async () => {
      const here = await scene();
      const session = here.one.session.connection?.session;
      await suite.server.kill();
      await until('it is told', () => here.caller.state()?.ok === false);
      const start = performance.now();
      const asked = code(here.caller.settings.get(here.key));
      expect(await livedMs(asked)).toBeLessThan(sessionMs + 1_000);
      expect(await asked).toBe('Unreachable');
      // Announcing meanwhile is done later.
      await here.two.registry.announce({ ...instance(`${here.module}#2`), version: 'meanwhile' });
      await wait(goneMs - (performance.now() - start));
      await suite.server.restart();
      for (const each of [here.one, here.two, here.caller])
        await until('it is back', () => each.session.connection?.alive, 20_000);
      if (goneMs < 3 * sessionMs) expect(here.one.session.connection?.session).toBe(session);
      const version = async () => (await here.caller.registry.all()).find(({ name }) => name === `${here.module}#2`);
      await until('the announcement is made', async () => (await version())?.version === 'meanwhile');
      expect(here.names.every((names, at) => at === 0 || names.length === 2)).toBe(true);
      await isWell(here);
    }, 120_000);

    test('restarted again and again: everybody is back each time', async () => {
      const here = await scene();
      for (let round = 0; round < 5; round++) {
        await suite.server.restart();
        for (const each of [here.one, here.two, here.caller])
          await until('it is back', () => each.session.connection?.alive && each.state()?.ok, 15_000);
        await here.one.settings.set(`${here.key}.${round}`, `${round}`, 0);
        await until('a change is seen', async () =>
          (await watchSettings(here.caller)).last.includes(`${here.key}.${round}=${round}`),
        );
      }
      expect(here.names.at(-1)).toHaveLength(2);
      await isWell(here);
    }, 120_000);

    test('a session that expired is begun anew, and what it had announced is announced again', async () => {
      const here = await scene();
      const session = here.one.session.connection?.session;
      await endSession(here.one);
      await until('another session', () => {
        const now = here.one.session.connection;
        return now?.alive && now.session !== session && here.one.state()?.ok;
      });
      await until('it is seen again', () => here.names.at(-1)?.length === 2);
      expect(here.one.notices).toContainEqual(expect.objectContaining({ type: 'state', ok: false }));
      await isWell(here);
    }, 30_000);

    test('the caller’s own session expires: it keeps whom it knows, and sees what has changed', async () => {
      const here = await scene();
      await endSession(here.caller);
      await until('it is back', () => here.caller.session.connection?.alive && here.caller.state()?.ok);
      expect(here.names.every((names, at) => at === 0 || names.length === 2)).toBe(true);
      await isWell(here);
    }, 30_000);

    // That it is two session time-outs is in folder.test.ts: here nobody knows when exactly it came back.
    test('who died while ZooKeeper was away is kept for a while after it came back, not longer', async () => {
      const here = await scene();
      await suite.server.kill();
      await until('it is told', () => here.caller.state()?.ok === false);
      const dead = here.two;
      (dead.session as unknown as { restores: unknown[] }).restores = []; // it never announces itself again
      await wait(sessionMs);
      const away = performance.now();
      await suite.server.restart();
      await endWhenBack(dead);
      await until('it is back', () => here.caller.session.connection?.alive && here.caller.state()?.ok, 20_000);
      const listed = async () => (await here.caller.registry.all()).some(({ name }) => name === `${here.module}#2`);
      await until('ZooKeeper has forgotten it', async () => !(await listed()));
      const shown = here.names.length;
      await here.one.registry.announce({ ...instance(`${here.module}#1`), version: '2' });
      await until('the caller has looked again', () => here.names.length > shown);
      const known = here.names.at(-1);
      if (performance.now() - away < 2 * sessionMs) expect(known).toContain(`${here.module}#2`); // later it may be over
      await until('one is dropped', () => here.names.at(-1)?.length === 1, 4 * sessionMs);
      expect(here.names.at(-1)).toEqual([`${here.module}#1`]);
    }, 60_000);

    /** Ends its session as an expiry would: another connection comes with the same id and password, and closes it. */
    async function endSession({ session }: Opened): Promise<void> {
      const { connection } = session;
      if (!connection) throw new Error('there is no session to end');
      const rights = { digest: undefined, worldRead: false };
      const { address } = connection;
      const other = await connectTo(
        { address, ticket: connection.ticket(), sessionMs, connectMs: 5_000, rights, clock: systemClock },
        new AbortController().signal,
      );
      await other.close(5_000);
    }
    async function endWhenBack(opened: Opened): Promise<void> {
      await until('it is back', () => opened.session.connection?.alive, 20_000);
      await opened.session.close();
    }
  },
  { faults: true },
);
