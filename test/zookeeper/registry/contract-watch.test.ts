/** The exact time for which an instance that is missing after an outage of ZooKeeper stays known. */
import { openNotices } from '../../../src/base/notices';
import { seededRandom, virtualClock } from '../../../src/memory/clock';
import { announcementOf } from '../../../src/zookeeper/registry/announcement';
import type { Connection } from '../../../src/zookeeper/session/connection';
import { Folder } from '../../../src/zookeeper/registry/contract-watch';
import type { Comeback, Session } from '../../../src/zookeeper/session/session';
import { instance } from '../../support/zookeeper-sessions';

const sessionMs = 2_000;
const [one, two] = ['photos#1', 'photos#2'].map((name) => announcementOf(instance(name)).node);

async function scene() {
  const clock = virtualClock();
  const nodes = new Set([one, two]);
  const connection = { alive: true, children: async () => [...nodes] } as unknown as Connection; // all that a read uses
  const session = { sessionMs, connection, comeback: { awayMs: 0, newSession: true } };
  const [notices, told] = [openNotices(), [] as string[]];
  notices.watch((notice) => void (notice.type === 'log' && told.push(notice.message)));
  const used = session as unknown as Session; // as above
  const folder = new Folder({ clock, random: seededRandom(1), notices, session: used, path: '/photos' });
  const seen: { readonly atMs: number; readonly names: string }[] = [];
  const see = (all: readonly { name: string }[]): void =>
    void seen.push({ atMs: clock.mono(), names: all.map(({ name }) => name).join() });
  folder.watchers.add({ see, seen: undefined });
  await folder.read(connection);
  /** The second instance dies while the caller is disconnected for `awayMs`. */
  const comeBack = async (comeback: Comeback): Promise<number> => {
    await clock.advance(comeback.awayMs);
    nodes.delete(two);
    session.comeback = comeback;
    await folder.restore(connection);
    return clock.mono();
  };
  return { clock, nodes, connection, session, folder, seen, told, comeBack };
}

test('an instance that died during an outage is dropped two session time-outs after the reconnect', async () => {
  for (const comeback of [
    { awayMs: 1_000, newSession: false },
    { awayMs: 100, newSession: true },
  ]) {
    const { clock, connection, folder, seen, comeBack } = await scene();
    const backMs = await comeBack(comeback);
    for (let n = 0; n < 39; n++) {
      await clock.advance(100);
      await folder.read(connection); // as when other instances appear and leave
    }
    expect(seen.map(({ names }) => names)).toEqual(['photos#1,photos#2']);
    await clock.advance(200);
    expect(seen.at(-1)?.names).toBe('photos#1');
    expect((seen.at(-1)?.atMs ?? 0) - backMs).toBeGreaterThan(2 * sessionMs);
    folder.close();
  }
});

test('an unlisted instance is dropped at once after a break in which no session expired', async () => {
  const { folder, seen, comeBack } = await scene();
  const backMs = await comeBack({ awayMs: 100, newSession: false });
  expect(seen.at(-1)).toEqual({ atMs: backMs, names: 'photos#1' });
  folder.close();
});

test('a dead instance is dropped two session time-outs after its first absence, despite further outages', async () => {
  const { clock, nodes, folder, seen, comeBack } = await scene();
  const missedMs = await comeBack({ awayMs: 1_000, newSession: true });
  const third = announcementOf(instance('photos#3')).node;
  nodes.add(third);
  for (let n = 0; n < 9 && seen.at(-1)?.names !== 'photos#1,photos#3'; n++) {
    await clock.advance(100);
    await comeBack({ awayMs: 900, newSession: n % 2 === 0 });
  }
  const tookMs = (seen.at(-1)?.atMs ?? 0) - missedMs;
  expect(seen.map(({ names }) => names)).toEqual([
    'photos#1,photos#2',
    'photos#1,photos#3,photos#2',
    'photos#1,photos#3',
  ]);
  expect(tookMs).toBeGreaterThanOrEqual(2 * sessionMs);
  expect(tookMs).toBeLessThan(2 * sessionMs + 900 + 100);
  nodes.delete(third);
  const backMs = await comeBack({ awayMs: 900, newSession: true });
  await clock.advance(2 * sessionMs - 100);
  expect(seen.at(-1)?.names).toBe('photos#1,photos#3'); // it has two session time-outs from its own absence
  await clock.advance(300);
  expect(seen.at(-1)?.names).toBe('photos#1');
  expect((seen.at(-1)?.atMs ?? 0) - backMs).toBeGreaterThan(2 * sessionMs);
  folder.close();
});

test('an instance that was listed in between gets two full session time-outs again', async () => {
  const { clock, nodes, folder, seen, comeBack } = await scene();
  await comeBack({ awayMs: 1_000, newSession: true });
  await clock.advance(sessionMs);
  nodes.add(two);
  await folder.read({ alive: true, children: async () => [...nodes] } as unknown as Connection); // as above
  await comeBack({ awayMs: 1_000, newSession: true });
  await clock.advance(2 * sessionMs - 100);
  expect(seen).toHaveLength(1);
  await clock.advance(300);
  expect(seen.at(-1)?.names).toBe('photos#1');
  folder.close();
});

test('repeated restores on one connection do not delay dropping a dead instance', async () => {
  const { clock, nodes, connection, folder, seen, told, comeBack } = await scene();
  const backMs = await comeBack({ awayMs: 1_000, newSession: true });
  for (let n = 0; n < 50; n++) {
    await clock.advance(100);
    await folder.restore(connection);
  }
  expect((seen.at(-1)?.atMs ?? 0) - backMs).toBeLessThan(2 * sessionMs + 200);
  expect(told).toEqual(['/photos: known instances that are not announced again yet: 1, kept for 4000 ms']);
  nodes.delete(one);
  await folder.restore(connection);
  expect(seen.at(-1)).toEqual({ atMs: clock.mono(), names: '' });
  folder.close();
});

test('the first read on a new connection keeps missing instances, even before the restore', async () => {
  const { clock, nodes, connection, session, folder, seen } = await scene();
  nodes.delete(two);
  session.comeback = { awayMs: 1_000, newSession: true };
  await Promise.all([folder.read(connection), folder.read(connection)]);
  await clock.advance(2 * sessionMs - 100);
  expect(seen).toHaveLength(1);
  await clock.advance(300);
  expect(seen.at(-1)?.names).toBe('photos#1');
  folder.close();
});

test('a read that ends after closing starts no timer and notifies no watcher', async () => {
  const { clock, nodes, connection, session, folder, seen } = await scene();
  nodes.delete(two);
  session.comeback = { awayMs: 1_000, newSession: true };
  const reading = folder.read(connection);
  folder.close();
  await reading;
  expect(clock.nextDueMs).toBeUndefined();
  expect(seen).toHaveLength(1);
});
