/** Changes by operators and other clients in ZooKeeper below running instances are repaired, or reported with a remedy. */
import { ACL, createClient, Id, type Client, type Stat } from 'node-zookeeper-client';
import { systemClock, type Clock } from '../../src/base/clock';
import { pathsOf } from '../../src/zookeeper/paths';
import {
  cleanUp,
  instance,
  later,
  open,
  until,
  watchNames,
  watchSettings,
  type Opened,
} from '../support/zookeeper-sessions';
import { zookeeperSuite } from './suite';

afterEach(cleanUp);

/** A clock on which timers of at least 30 s are 60 times as fast. */
const hasty: Clock = {
  ...systemClock,
  after: (ms, run) => systemClock.after(ms >= 30_000 ? ms / 60 : ms, run),
};

type Done = (error: unknown) => void;
/** Methods of the client that an operator uses and the declarations of src do not name. */
interface Tool extends Client {
  removeRecursive(path: string, done: Done): void;
  setACL(path: string, acls: readonly object[], version: number, done: Done): void;
  connect(): void;
}

zookeeperSuite('an operator beside running instances', (zookeeper) => {
  let names = 0;
  const given = () => ({ connect: zookeeper.connect, ns: `${zookeeper.ns}-${names}`, clock: hasty });
  beforeEach(() => void names++);

  async function tool(): Promise<Tool> {
    // The declarations of src name only what src uses.
    const client = createClient(zookeeper.connect, { sessionTimeout: 10_000, spinDelay: 1_000, retries: 0 }) as Tool;
    await new Promise<void>((resolve) => {
      client.once('connected', resolve);
      client.connect();
    });
    later(() => client.close());
    return client;
  }
  const done = (run: (done: Done) => void): Promise<void> =>
    new Promise((resolve, reject) => run((error) => (error ? reject(error as Error) : resolve())));
  const paths = () => pathsOf(given().ns);
  const warnings = ({ notices }: Opened): string[] =>
    notices.flatMap((notice) => (notice.type === 'log' && notice.level === 'warn' ? [notice.message] : []));

  test('an announcement that was removed from one contract is recreated with a warning', async () => {
    const [one, other] = [await open(given()), await open(given())];
    await one.registry.announce(instance('photos#a'));
    const seen = await watchNames(other, 'photos');
    const client = await tool();
    const contract = paths().contract('photos');
    const [node = ''] = await new Promise<string[]>((resolve) => {
      client.getChildren(contract, undefined, (_error, children) => resolve(children));
    });
    const created = () =>
      new Promise<string | undefined>((resolve) => {
        // The declarations of src name only what src uses: the transaction that created the node is a Buffer.
        client.exists(`${contract}/${node}`, (_error, stat) =>
          resolve((stat as (Stat & { czxid: Buffer }) | null)?.czxid.toString('hex')),
        );
      });
    const before = await created();
    expect(before).toMatch(/^[0-9a-f]{16}$/);
    await done((end) => client.remove(`${contract}/${node}`, -1, end));
    // A watcher that reads after the repair sees no change, so the node itself is asked.
    await until('it is recreated', async () => ![before, undefined].includes(await created()), 5_000);
    await until('it is seen', () => seen.at(-1)?.join() === 'photos#a', 5_000);
    await until('it is reported', () => warnings(one).length > 0);
    expect(warnings(one)).toEqual([expect.stringContaining(`which was restored: ${contract}/`)]);
  });

  test('an overwritten announcement is restored with a warning', async () => {
    const [one, other] = [await open(given()), await open(given())];
    await one.registry.announce(instance('photos#a'));
    const client = await tool();
    await done((end) =>
      client.setData(paths().instance('photos#a'), Buffer.from('{"name": 1}'), -1, (error) => end(error)),
    );
    await until('it is restored', async () => (await other.registry.find('photos#a'))?.pid === process.pid, 5_000);
    expect(one.state()?.ok ?? true).toBe(true);
    await until('it is reported', () => warnings(one).length > 0);
    expect(warnings(one)).toEqual([expect.stringContaining('another client changed or removed')]);
  });

  test('a removed namespace is recreated with its announcements, and its settings count as unset', async () => {
    const [one, other] = [await open(given()), await open(given())];
    await one.registry.announce(instance('photos#a'));
    await one.settings.set('key', 'value', 0);
    const [seen, settings] = [await watchNames(other, 'photos'), await watchSettings(other)];
    await until('it is seen', () => settings.last.join() === 'key=value');
    const client = await tool();
    // An instance announces itself again meanwhile, so that the last folders are not empty when they are removed.
    for (const path of [paths().settings, paths().instances, paths().contracts])
      await done((end) => client.removeRecursive(path, () => end(undefined)));
    await until('settings are gone', () => settings.last.length === 0, 10_000);
    await until('it is announced again', async () => (await other.registry.all()).length === 1, 10_000);
    await until('it is seen', () => seen.at(-1)?.join() === 'photos#a', 10_000);
    expect(await other.settings.set('key', 'again', 0)).toBe(1);
    await until('settings are seen again', () => settings.last.join() === 'key=again', 10_000);
  });

  test('revoked permissions are reported within a minute, with a remedy, until they are granted again', async () => {
    const one = await open(given());
    await one.registry.announce(instance('photos#a'));
    const client = await tool();
    const acls = (permission: number): object[] => [new ACL(permission, Id.ANYONE_ID_UNSAFE)];
    const [admin, all] = [16, 31];
    await done((end) => client.setACL(paths().settings, acls(admin), -1, end));
    const state = await until('it is reported', () => one.state()?.ok === false && one.state(), 10_000);
    expect(state).toMatchObject({
      reason: expect.stringContaining(`not allowed: ${paths().settings}. Grant the user`),
    });
    await done((end) => client.setACL(paths().settings, acls(all), -1, end));
    await until('it is well again', () => one.state()?.ok === true, 10_000);
  });
});
