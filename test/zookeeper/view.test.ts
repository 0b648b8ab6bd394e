/** Settings are read with one pair of ears for each connection, and on the next one whatever happened meanwhile. */
import { defaults, liveConfig } from '../../src/config';
import { openNotices } from '../../src/base/notices';
import { seededRandom, virtualClock } from '../../src/memory/clock';
import type { Connection, Node } from '../../src/zookeeper/connection';
import { pathsOf } from '../../src/zookeeper/paths';
import type { Restore, Session } from '../../src/zookeeper/session';
import { openSettings } from '../../src/zookeeper/settings';

function system() {
  const clock = virtualClock();
  const nodes = new Map<string, string>([
    ['a', '1'],
    ['b', '2'],
  ]);
  const unreadable = new Set<string>();
  const reads: string[] = [];
  const ears = new Map<string, Set<() => void>>();
  const hear = (path: string, changed?: () => void): void => {
    if (changed) ears.set(path, (ears.get(path) ?? new Set()).add(changed));
  };
  const connect = (): Connection => ({ ...answers }) as unknown as Connection; // what is used while nobody writes
  const answers = {
    alive: true,
    async children(path: string, changed?: () => void) {
      hear(path, changed);
      return [...nodes.keys()];
    },
    async read(path: string, changed?: () => void): Promise<Node | undefined> {
      const name = path.slice(path.lastIndexOf('/') + 1);
      reads.push(name);
      hear(path, changed);
      if (unreadable.has(name)) throw new Error('not now');
      const data = nodes.get(name);
      return data === undefined ? undefined : { data, version: 0, owner: '' };
    },
  };
  let restore: Restore = () => Promise.reject(new Error('not asked for'));
  const session = {
    connection: connect(),
    onConnection: (given: Restore) => void (restore = given),
    call: (_what: string, _again: boolean, run: (one: Connection) => Promise<unknown>) => run(session.connection),
    restoreSoon: () => undefined,
  };
  const around = { clock, random: seededRandom(1), notices: openNotices() };
  const used = session as unknown as Session; // as above
  const settings = openSettings({ ...around, session: used, paths: pathsOf('main'), cache: undefined });
  const restored = (): Promise<void> => restore(session.connection, { awayMs: 0, newSession: false });
  const rebuilt = (): Promise<void> => {
    session.connection = connect();
    return restored();
  };
  const most = (): number => Math.max(...[...ears.values()].map(({ size }) => size));
  return { ...around, settings, nodes, restored, rebuilt, unreadable, reads, most };
}

test('restored many times on one connection, it reads once and listens once', async () => {
  const { settings, restored, reads, most } = system();
  for (let n = 0; n < 20; n++) await restored();
  expect(reads.sort()).toEqual(['a', 'b']);
  expect(most()).toBe(1);
  await settings.close();
});

test('what cannot be read is read again until it can, with the same ears', async () => {
  const { settings, restored, unreadable, reads, most } = system();
  unreadable.add('a');
  for (let n = 0; n < 20; n++) await expect(restored()).rejects.toThrow('not now');
  unreadable.clear();
  await restored();
  let seen: readonly string[] = [];
  const watching = await settings.watch((all) => (seen = all.map(({ key, value }) => `${key}=${value}`).sort()));
  expect(seen).toEqual(['a=1', 'b=2']);
  expect(most()).toBe(1);
  expect(reads.filter((name) => name === 'b').length).toBeLessThan(4); // once, and once for whoever watches
  await watching.close();
  await settings.close();
});

test('what was removed and made again while ZooKeeper was away holds when it is back, and so after a start without', async () => {
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
