/** Announcements on a real ZooKeeper: their delay, and leftovers of an earlier session or process. */
import type { Instance } from '../../src/ports/registry';
import { pathsOf } from '../../src/zookeeper/paths';
import { quickest } from '../elapsed';
import {
  cleanUp,
  instance,
  open,
  type Opened,
  startChild,
  tookMs,
  until,
  watchNames,
} from '../support/zookeeper-sessions';
import { zookeeperSuite } from './suite';

zookeeperSuite('the registry on ZooKeeper', (suite) => {
  afterEach(cleanUp);
  /** A long session for instances that must survive; tests that wait for the end of a session pass a short one. */
  const openOne = (sessionMs = 10_000) => open({ connect: suite.connect, ns: suite.ns, sessionMs });
  const paths = pathsOf(suite.ns);

  /** Makes an instance start a new session while the servers still keep the one before. */
  async function startNewSession(one: Opened): Promise<void> {
    const before = one.session.connection?.session;
    const keep = one.session as unknown as { ticket: unknown };
    Object.defineProperty(keep, 'ticket', { configurable: true, get: () => undefined, set: (_ticket) => {} });
    one.session.connection?.cut('by the test');
    await until('another session', () => one.session.connection?.alive && one.session.connection.session !== before);
    Object.defineProperty(keep, 'ticket', { configurable: true, writable: true, value: undefined });
  }

  test('an announcement of the previous session is recreated, and stays when that session expires', async () => {
    const [one, caller] = [await openOne(4_000), await openOne()];
    await one.registry.announce(instance('stale#1'));
    const mark = `${paths.base}/mark`;
    await one.session.connection?.change([{ do: 'create', path: mark, data: '' }]); // removed when this session ends
    const names = await watchNames(caller, 'stale');
    await startNewSession(one);
    const owner = async () => (await caller.session.connection?.read(paths.instance('stale#1')))?.owner;
    await until('it is ours', async () => (await owner()) === one.session.connection?.session);
    const kept = names.length;
    await until('the session before has expired', async () => !(await caller.session.connection?.exists(mark)));
    expect(await owner()).toBe(one.session.connection?.session);
    expect(names.slice(kept)).toEqual([]);
    expect(names.every((seen) => seen.join() === 'stale#1')).toBe(true);
  });

  test('a restarted process with the same name waits for the end of its previous session', async () => {
    const [before, caller] = [await openOne(2_000), await openOne()];
    await before.registry.announce(instance('again#1', { incarnation: 'one' }));
    const seen: (readonly Instance[])[] = [];
    await caller.registry.watch('again', (instances) => seen.push(instances));
    (before.session as unknown as { closed: AbortController }).closed.abort();
    before.session.connection?.cut('killed');
    const after = await openOne();
    await after.registry.announce(instance('again#1', { incarnation: 'two' }));
    await until('it is seen', () => seen.at(-1)?.[0]?.incarnation === 'two');
    expect(seen.every((instances) => instances.length <= 1)).toBe(true);
  });

  test('announcing the name of a live instance is a Conflict, and the previous announcement stays', async () => {
    const [one, other] = [await openOne(), await openOne(4_000)]; // announcing waits for one and a half sessions
    await one.registry.announce(instance('taken#1'));
    await other.registry.announce(instance('taken#2'));
    const error: unknown = await other.registry
      .announce(instance('taken#1', { incarnation: 'other' }))
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'Conflict',
      message: expect.stringMatching(/taken#1 is already running \(process/),
    });
    const all = (await one.registry.all()).filter(({ module }) => module === 'taken').map(({ name }) => name);
    expect(all.sort()).toEqual(['taken#1', 'taken#2']);
  });

  test('withdrawing leaves the announcement of another instance under the same name', async () => {
    const [one, other] = [await openOne(), await openOne()];
    await one.registry.announce(instance('mine#1'));
    await one.session.connection?.remove(paths.instance('mine#1'), -1);
    const data = JSON.stringify(instance('mine#1', { incarnation: 'other' }));
    (one.registry as unknown as { debounced: { stop(): void } }).debounced.stop(); // otherwise it would restore its announcement
    await other.session.connection?.create(paths.instance('mine#1'), data);
    await one.registry.withdraw();
    expect(await other.session.connection?.exists(paths.instance('mine#1'))).toBe(true);
    await other.session.connection?.remove(paths.instance('mine#1'), -1);
  });

  test('an instance that is withdrawn while it is announced is not listed afterwards', async () => {
    const [one, caller] = [await openOne(), await openOne()];
    const announcing = one.registry.announce(instance('brief#1'));
    await one.registry.withdraw();
    await announcing;
    expect((await caller.registry.all()).filter(({ module }) => module === 'brief')).toEqual([]);
    expect((await watchNames(caller, 'brief')).at(-1)).toEqual([]);
  });

  test('an announcement that an operator removed is recreated', async () => {
    const [one, caller] = [await openOne(), await openOne()];
    await one.registry.announce(instance('removed#1'));
    await caller.session.connection?.remove(paths.instance('removed#1'), -1);
    await until('it is back', () => caller.session.connection?.exists(paths.instance('removed#1')));
    expect((await caller.registry.all()).some(({ name }) => name === 'removed#1')).toBe(true);
  });

  test('announcements too large for a node name work, and invalid node names are dropped', async () => {
    const [one, caller] = [await openOne(), await openOne()];
    const serves = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`contract${n}`, 'f'.repeat(32)]));
    const large = instance('large#1', { serves: { large: 'f', ...serves } });
    await one.registry.announce(large);
    const seen: (readonly Instance[])[] = [];
    await caller.registry.watch('large', (instances) => seen.push(instances));
    expect(seen.at(-1)).toEqual([large]);
    await one.registry.announce({ ...large, leaving: true });
    await until('the change is seen', () => seen.at(-1)?.[0]?.leaving === true);
    await one.session.connection?.create(`${paths.contract('large')}/no,announcement`, '');
    await until('it is reported', () => caller.notices.some((notice) => notice.type === 'dropped'));
    expect(seen.at(-1)).toHaveLength(1);
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`contract${n}`, 'f']));
    await expect(one.registry.announce({ ...large, serves: many })).rejects.toMatchObject({ code: 'TooLarge' });
    // Together they exceed what a server accepts: it would close the connection, and every connection that repeats them.
    const heavy = Object.fromEntries(Array.from({ length: 250 }, (_, n) => [`contract${n}`, 'f'.repeat(32)]));
    await expect(one.registry.announce({ ...large, serves: heavy })).rejects.toMatchObject({ code: 'TooLarge' });
    expect(one.notices.filter((notice) => notice.type === 'state')).toEqual([]);
    await one.registry.announce(large);
    expect(seen.at(-1)).toHaveLength(1);
  });

  test('fifty watchers see instances appear and leave, only of the contract that they watch', async () => {
    const watchers: Opened[] = [];
    while (watchers.length < 50) watchers.push(...(await Promise.all(Array.from({ length: 10 }, () => openOne()))));
    const [one, two] = [await openOne(), await openOne()];
    const seen = await Promise.all(watchers.map((each) => watchNames(each, 'fifty')));
    const others = await watchNames(one, 'others');
    const took = (names: string, act: () => Promise<void>): Promise<number> =>
      tookMs(async () => {
        await act();
        await until(`all see '${names}'`, () => seen.every((lists) => lists.at(-1)?.join() === names));
      });
    const changes = async (): Promise<number> => {
      const first = await took('fifty#1', () => one.registry.announce(instance('fifty#1')));
      const second = await took('fifty#1,fifty#2', () => two.registry.announce(instance('fifty#2')));
      const gone = await took('fifty#2', () => one.registry.withdraw());
      const none = await took('', () => two.registry.withdraw());
      const rounded = [first, second, gone, none].map(Math.round).join(', ');
      process.stdout.write(`50 watchers see the first, the second and the end of each after ${rounded} ms\n`);
      return Math.max(first, second, gone, none);
    };
    expect(await quickest(2_000, changes)).toBeLessThan(2_000);
    expect(others).toEqual([[]]);
  });

  test('an instance stopped beyond its session is dropped, and listed again when it continues', async () => {
    const caller = await openOne();
    const names = await watchNames(caller, 'still');
    const child = startChild([suite.connect, suite.ns, 'still#1', '4000']);
    await until('it is seen', () => names.at(-1)?.length === 1);
    child.kill('SIGSTOP');
    await until('it is dropped', () => names.at(-1)?.length === 0);
    child.kill('SIGCONT');
    await until('it is back', () => names.at(-1)?.length === 1);
    expect(names.map((seen) => seen.length)).toEqual([0, 1, 0, 1]);
  });

  test('a killed instance is dropped after a session time-out', async () => {
    const caller = await openOne();
    const names = await watchNames(caller, 'killed');
    const goneMs = async (round: number): Promise<number> => {
      const child = startChild([suite.connect, suite.ns, `killed#${round}`, '4000']);
      await until('it is seen', () => names.at(-1)?.join() === `killed#${round}`);
      child.kill('SIGKILL');
      const gone = await tookMs(() => until('it is dropped', () => names.at(-1)?.length === 0));
      process.stdout.write(`killed with a session of 4,000 ms, gone after ${Math.round(gone)} ms\n`);
      return gone;
    };
    expect(await quickest(5_500, goneMs)).toBeLessThan(5_500);
  });
});
