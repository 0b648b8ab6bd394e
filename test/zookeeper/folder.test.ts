/** How long whoever is missing after ZooKeeper was away is still known, to the millisecond. */
import { openNotices } from '../../src/base/notices';
import { seededRandom, virtualClock } from '../../src/memory/clock';
import { announcementOf } from '../../src/zookeeper/announcement';
import type { Connection } from '../../src/zookeeper/connection';
import { Folder } from '../../src/zookeeper/folder';
import type { Comeback, Session } from '../../src/zookeeper/session';
import { instance } from './kit';

const sessionMs = 2_000;
const [one, two] = ['photos#1', 'photos#2'].map((name) => announcementOf(instance(name)).node);

async function scene() {
  const clock = virtualClock();
  const nodes = new Set([one, two]);
  const connection = { alive: true, children: async () => [...nodes] } as unknown as Connection; // what a reading uses
  const session = { sessionMs, connection } as unknown as Session; // as above
  const folder = new Folder({ clock, random: seededRandom(1), notices: openNotices(), session, path: '/photos' });
  const seen: { readonly atMs: number; readonly names: string }[] = [];
  const see = (all: readonly { name: string }[]): void =>
    void seen.push({ atMs: clock.mono(), names: all.map(({ name }) => name).join() });
  folder.watchers.add({ see, seen: undefined });
  await folder.read(connection);
  /** The second instance dies while the caller is away for so long. */
  const comeBack = async (comeback: Comeback): Promise<number> => {
    await clock.advance(comeback.awayMs);
    nodes.delete(two);
    await folder.restore(connection, comeback);
    return clock.mono();
  };
  return { clock, nodes, connection, folder, seen, comeBack };
}

test('who died while ZooKeeper was away is dropped two session time-outs after it came back', async () => {
  for (const comeback of [
    { awayMs: 1_000, newSession: false },
    { awayMs: 100, newSession: true },
  ]) {
    const { clock, connection, folder, seen, comeBack } = await scene();
    const backMs = await comeBack(comeback);
    for (let n = 0; n < 39; n++) {
      await clock.advance(100);
      await folder.read(connection); // others come and go meanwhile
    }
    expect(seen.map(({ names }) => names)).toEqual(['photos#1,photos#2']);
    await clock.advance(200);
    expect(seen.at(-1)?.names).toBe('photos#1');
    expect((seen.at(-1)?.atMs ?? 0) - backMs).toBeGreaterThan(2 * sessionMs);
    folder.close();
  }
});

test('after a short break that cost nobody a session, who is not listed is gone at once', async () => {
  const { folder, seen, comeBack } = await scene();
  const backMs = await comeBack({ awayMs: 100, newSession: false });
  expect(seen.at(-1)).toEqual({ atMs: backMs, names: 'photos#1' });
  folder.close();
});
