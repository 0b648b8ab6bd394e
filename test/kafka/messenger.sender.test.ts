/** The Kafka messenger with its real producer on a cluster in memory: delivery of packets while partitions fail. */
import { openNotices } from '../../src/base/notices';
import { openKafkaPost } from '../../src/kafka/messenger';
import { watchLiving } from '../../src/kafka/messenger/departures';
import { openRoads } from '../../src/kafka/messenger/transport';
import { View } from '../../src/kafka/cluster/metadata';
import { promisesRunOut, seededRandom, virtualClock } from '../../src/memory/clock';
import { memoryWorld } from '../../src/memory/world';
import type { Post } from '../../src/ports/messenger';
import { FakeCluster } from './fakewire';

interface Ear {
  readonly post: Post;
  readonly partition: number;
  readonly lines: string[];
}

function system() {
  const clock = virtualClock({
    drain: async () => {
      await promisesRunOut();
      await promisesRunOut();
    },
  });
  const cluster = new FakeCluster(clock, 3);
  cluster.latencyMs = 1;
  const world = memoryWorld({ clock });
  const notices = openNotices();
  const dropped: string[] = [];
  notices.watch((notice) => {
    if (notice.type === 'dropped') dropped.push(`${notice.what}: ${notice.reason}`);
  });
  let opened = 0;
  async function open(inboxPartitions: number, seed = opened): Promise<Ear> {
    const name = `p${++opened}`;
    const around = { clock, random: seededRandom(seed), notices };
    const roads = openRoads(new View({ wire: cluster.wire(name), ...around }));
    const living = watchLiving(world.process(name).registry, clock);
    const lines: string[] = [];
    let post: Post | undefined;
    const opening = openKafkaPost({ ns: 'test', ...around, roads, living, inboxPartitions }).then((made) => {
      made.receive({ packet: ({ line }) => void lines.push(line), gone: () => undefined });
      return (post = made);
    });
    await clock.runUntil(() => post !== undefined, 20_000);
    const { address } = await opening;
    return { post: await opening, partition: Number(address.split(':')[0]), lines };
  }
  return { clock, cluster, dropped, open };
}

test('packets for partitions without a leader do not block those for other partitions', async () => {
  const { clock, cluster, dropped, open } = system();
  const [a, b] = [await open(8), await open(8)];
  const stuck = [0, 1, 2, 3, 4, 5, 6, 7].filter((partition) => ![a.partition, b.partition].includes(partition));
  for (const partition of stuck) cluster.lead('test.inbox', partition, null);
  let refused = 0;
  for (let n = 0; n < 40; n++) {
    for (const partition of stuck.slice(0, 2)) {
      try {
        a.post.send(`${partition}:ffffffffffffffff`, { line: 'large', body: new Uint8Array(1_000_000) });
      } catch {
        refused++;
      }
    }
  }
  expect(refused).toBe(80 - 62); // in one turn, before the partitions count as stuck
  const small = { line: 'small', body: new Uint8Array(200_000) };
  a.post.send(b.post.address, small);
  await clock.advance(2_000);
  expect(b.lines).toEqual(['small']);
  expect(() => {
    for (let n = 0; n < 40; n++) a.post.send(b.post.address, small);
  }).toThrow(expect.objectContaining({ code: 'Overloaded' }));
  await clock.advance(2_000);
  expect(b.lines.length).toBeGreaterThan(1);
  expect(dropped).toEqual([]);
});

test('an instance opened before the inbox grew reaches instances in the added partitions', async () => {
  const { clock, cluster, dropped, open } = system();
  const a = await open(1);
  a.post.send(a.post.address, { line: 'before', body: new Uint8Array(0) });
  await clock.advance(100);
  const more = [1, 2, 3].map((leader) => ({ leader, epoch: 0, start: 0, records: [], end: 0 }));
  cluster.topics.get('test.inbox')?.partitions.push(...more);
  let b = await open(1);
  for (let seed = 10; seed < 30 && b.partition === 0; seed++) b = await open(1, seed);
  expect(b.partition).toBeGreaterThan(0);
  for (const line of ['one', 'two']) a.post.send(b.post.address, { line, body: new Uint8Array(0) });
  await clock.advance(2_000);
  expect(b.lines).toEqual(['one', 'two']);
  a.post.send('77:0123456789abcdef', { line: 'nowhere', body: new Uint8Array(0) });
  a.post.send(b.post.address, { line: 'three', body: new Uint8Array(0) });
  await clock.advance(2_000);
  expect(b.lines).toEqual(['one', 'two', 'three']);
  expect(dropped).toEqual([expect.stringContaining('partition 77 does not exist')]);
});

test('a packet waits for its partition until its own deadline, independent of earlier packets', async () => {
  const { clock, cluster, dropped, open } = system();
  const [a, b] = [await open(8), await open(8)];
  cluster.lead('test.inbox', b.partition, null);
  const body = new Uint8Array(1);
  a.post.send(b.post.address, { line: 'perhaps there already', body, withinMs: 1_000 });
  await clock.advance(100); // an answer of a leader that is being replaced does not count
  a.post.send(b.post.address, { line: 'for two minutes', body, withinMs: 120_000 });
  a.post.send(b.post.address, { line: 'for five seconds', body, withinMs: 5_000 });
  a.post.send(b.post.address, { line: 'for as long as usual', body });
  a.post.send(b.post.address, { line: 'for ever', body, withinMs: Infinity });
  await clock.advance(7_000);
  const after = (ms: number) => expect.stringMatching(`^packet: .* after ${ms} ms`);
  expect(dropped).toEqual([after(1_000), after(5_000)]);
  await clock.advance(33_000);
  expect(dropped).toEqual([after(1_000), after(5_000), after(30_000)]);
  cluster.lead('test.inbox', b.partition, 1);
  await clock.advance(5_000);
  expect(b.lines).toEqual(['perhaps there already', 'for two minutes', 'for ever']);
});
