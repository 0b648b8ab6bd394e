/** Settings on nodes in memory, which the test changes, without a server and in virtual time. */
import { openNotices } from '../../src/base/notices';
import { seededRandom, virtualClock } from '../../src/memory/clock';
import type { SettingsCache } from '../../src/zookeeper/settings/disk-cache';
import type { Connection, Node } from '../../src/zookeeper/session/connection';
import { pathsOf } from '../../src/zookeeper/paths';
import type { Restore } from '../../src/zookeeper/session/restorer';
import type { Session } from '../../src/zookeeper/session/session';
import { openSettings } from '../../src/zookeeper/settings';

interface Given {
  readonly clock?: ReturnType<typeof virtualClock>;
  readonly cache?: SettingsCache;
}

export function openSystem({ clock = virtualClock(), cache }: Given = {}) {
  const paths = pathsOf('main');
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
  const connect = (): Connection => ({ ...answers }) as unknown as Connection; // all that settings use, as long as no test writes
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
    retryRestore: () => undefined,
  };
  const around = { clock, random: seededRandom(1), notices: openNotices() };
  const used = session as unknown as Session; // as above
  const settings = openSettings({ ...around, session: used, paths, cache });
  const restored = (): Promise<void> => restore(session.connection);
  const rebuilt = (): Promise<void> => {
    session.connection = connect();
    return restored();
  };
  /** Notifies the watches of this node that it changed. */
  const tell = (name: string): void => {
    for (const changed of ears.get(`${paths.settings}/${name}`) ?? []) changed();
  };
  const most = (): number => Math.max(...[...ears.values()].map(({ size }) => size));
  return { ...around, settings, nodes, restored, rebuilt, tell, session, unreadable, reads, most };
}
