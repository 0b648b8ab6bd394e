/** A registry that cannot announce its own instance still sees other instances appear and leave. */
import { openNotices } from '../../src/base/notices';
import { seededRandom, virtualClock } from '../../src/memory/clock';
import { announcementOf } from '../../src/zookeeper/registry/announcement';
import type { Change, Connection } from '../../src/zookeeper/session/connection';
import { codes, LostError, ServerError } from '../../src/zookeeper/session/errors';
import { pathsOf } from '../../src/zookeeper/paths';
import { openRegistry } from '../../src/zookeeper/registry';
import type { Restore } from '../../src/zookeeper/session/restorer';
import type { Session } from '../../src/zookeeper/session/session';
import { instance } from '../support/zookeeper-sessions';

const paths = pathsOf('main');

/** An instance of users that watches photos and music, on a fake connection. */
async function scene() {
  const clock = virtualClock();
  const names: Record<string, string[]> = { photos: ['photos#1', 'photos#2'], music: ['music#1'] };
  const refusals: { change?: Error; list?: string } = {};
  const connection = {
    alive: true,
    session: 'another one each time',
    read: async () => undefined,
    exists: async () => true,
    async change() {
      if (refusals.change) throw refusals.change;
    },
    async children(path: string) {
      const contract = path.slice(path.lastIndexOf('/') + 1);
      if (refusals.list === contract) throw new ServerError(codes.noAuth, path);
      return (names[contract] ?? []).map((name) => announcementOf(instance(name)).node);
    },
  } as unknown as Connection; // all that a registry uses
  let restore: Restore = () => Promise.reject(new Error('not asked for'));
  const session = {
    connection,
    comeback: { awayMs: 0, newSession: false },
    sessionMs: 2_000,
    onConnection: (given: Restore) => void (restore = given),
    call: (_what: string, _again: boolean, run: (one: Connection) => Promise<unknown>) => run(connection),
    retryRestore: () => undefined,
  } as unknown as Session; // as above
  const registry = openRegistry({ clock, random: seededRandom(1), notices: openNotices(), session, paths });
  const seen: Record<string, string> = {};
  for (const contract of ['photos', 'music'])
    await registry.watch(contract, (all) => void (seen[contract] = all.map(({ name }) => name).join()));
  await registry.announce(instance('users#1'));
  return { registry, names, refusals, seen, restored: () => restore(connection) };
}

test.each([
  ['is not allowed to write', new ServerError(codes.noAuth, '/busbar'), 'not allowed'],
  ['exceeds a quota', new ServerError(-125, '/busbar'), 'a quota of the server is used up'],
  ['loses the answer', new LostError('no answer'), 'no answer'],
])('an instance that %s when ZooKeeper returns reports it, and sees which instances died', async (_, error, says) => {
  const { registry, names, refusals, seen, restored } = await scene();
  expect(seen).toEqual({ photos: 'photos#1,photos#2', music: 'music#1' });
  refusals.change = error;
  names['photos'] = ['photos#1'];
  await expect(restored()).rejects.toThrow(says);
  expect(seen).toEqual({ photos: 'photos#1', music: 'music#1' });
  await registry.close();
});

test('an unreadable contract folder does not stop updates of the other contracts', async () => {
  const { registry, names, refusals, seen, restored } = await scene();
  refusals.list = 'photos';
  names['music'] = [];
  await expect(restored()).rejects.toThrow('not allowed');
  expect(seen).toEqual({ photos: 'photos#1,photos#2', music: '' });
  await registry.close();
});

test('withdrawing while the announcement is being restored removes it before it resolves', async () => {
  const clock = virtualClock();
  const nodes = new Map<string, string>();
  const ears: (() => void)[] = [];
  let hold: Promise<void> | undefined;
  const connection = {
    alive: true,
    session: 'one',
    ended: new Promise(() => undefined),
    exists: async () => true,
    async read(path: string, changed?: () => void) {
      if (changed) ears.push(changed);
      await hold;
      const data = nodes.get(path);
      return data === undefined ? undefined : { data, version: 0, owner: 'one' };
    },
    async change(changes: readonly Change[]) {
      for (const change of changes) {
        if (change.do === 'remove') nodes.delete(change.path);
        else nodes.set(change.path, change.data);
      }
    },
  } as unknown as Connection; // all that a registry uses
  const session = {
    connection,
    sessionMs: 2_000,
    onConnection: () => undefined,
    call: (_what: string, _again: boolean, run: (one: Connection) => Promise<unknown>) => run(connection),
  } as unknown as Session; // as above
  const registry = openRegistry({ clock, random: seededRandom(1), notices: openNotices(), session, paths });
  await registry.announce(instance('photos#1'));
  expect(nodes.size).toBe(2);
  let release = (): void => undefined;
  hold = new Promise((resolve) => (release = resolve));
  for (const changed of ears.splice(0)) changed();
  await clock.advance(1_000); // the registry checks its announcement
  const withdrawn = registry.withdraw();
  release();
  await withdrawn;
  expect([...nodes.keys()]).toEqual([]);
  await registry.close();
});
