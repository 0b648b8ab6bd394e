/** The Kafka messenger with its real producer on a cluster in memory: delivery of packets while partitions fail. */
import { openNotices } from '../../src/base/notices';
import { openKafkaMessenger } from '../../src/kafka/messenger';
import { watchDepartures } from '../../src/kafka/messenger/departures';
import { openTransport } from '../../src/kafka/messenger/transport';
import { ClusterMetadata } from '../../src/kafka/cluster/metadata';
import { promisesRunOut, seededRandom, virtualClock } from '../../src/memory/clock';
import { memoryWorld } from '../../src/memory/world';
import type { Messenger } from '../../src/ports/messenger';
import { FakeCluster } from '../support/fake-cluster';

interface Ear {
  readonly messenger: Messenger;
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
    const transport = openTransport(new ClusterMetadata({ client: cluster.wire(name), ...around }));
    const departures = watchDepartures(world.process(name).registry, clock);
    const lines: string[] = [];
    let messenger: Messenger | undefined;
    const opening = openKafkaMessenger({ ns: 'test', ...around, transport, departures, inboxPartitions }).then(
      (made) => {
        made.receive({ packet: ({ line }) => void lines.push(line), left: () => undefined });
        return (messenger = made);
      },
    );
    await clock.runUntil(() => messenger !== undefined, 20_000);
    const { address } = await opening;
    return { messenger: await opening, partition: Number(address.split(':')[0]), lines };
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
        a.messenger.send(`${partition}:ffffffffffffffff`, { line: 'large', body: new Uint8Array(1_000_000) });
      } catch {
        refused++;
      }
    }
  }
  expect(refused).toBe(80 - 62); // in one turn, before the partitions count as stuck
  const small = { line: 'small', body: new Uint8Array(200_000) };
  a.messenger.send(b.messenger.address, small);
  await clock.advance(2_000);
  expect(b.lines).toEqual(['small']);
  expect(() => {
    for (let n = 0; n < 40; n++) a.messenger.send(b.messenger.address, small);
  }).toThrow(expect.objectContaining({ code: 'Overloaded' }));
  await clock.advance(2_000);
  expect(b.lines.length).toBeGreaterThan(1);
  expect(dropped).toEqual([]);
});

test('an instance opened before the inbox grew reaches instances in the added partitions', async () => {
  const { clock, cluster, dropped, open } = system();
  const a = await open(1);
  a.messenger.send(a.messenger.address, { line: 'before', body: new Uint8Array(0) });
  await clock.advance(100);
  const more = [1, 2, 3].map((leader) => ({ leader, epoch: 0, start: 0, records: [], end: 0 }));
  cluster.topics.get('test.inbox')?.partitions.push(...more);
  let b = await open(1);
  for (let seed = 10; seed < 30 && b.partition === 0; seed++) b = await open(1, seed);
  expect(b.partition).toBeGreaterThan(0);
  for (const line of ['one', 'two']) a.messenger.send(b.messenger.address, { line, body: new Uint8Array(0) });
  await clock.advance(2_000);
  expect(b.lines).toEqual(['one', 'two']);
  a.messenger.send('77:0123456789abcdef', { line: 'nowhere', body: new Uint8Array(0) });
  a.messenger.send(b.messenger.address, { line: 'three', body: new Uint8Array(0) });
  await clock.advance(2_000);
  expect(b.lines).toEqual(['one', 'two', 'three']);
  expect(dropped).toEqual([expect.stringContaining('partition 77 does not exist')]);
});

test('a packet waits for its partition until its own deadline, independent of earlier packets', async () => {
  const { clock, cluster, dropped, open } = system();
  const [a, b] = [await open(8), await open(8)];
  cluster.lead('test.inbox', b.partition, null);
  const body = new Uint8Array(1);
  a.messenger.send(b.messenger.address, { line: 'perhaps there already', body, withinMs: 1_000 });
  await clock.advance(100); // an answer of a leader that is being replaced does not count
  a.messenger.send(b.messenger.address, { line: 'for two minutes', body, withinMs: 120_000 });
  a.messenger.send(b.messenger.address, { line: 'for five seconds', body, withinMs: 5_000 });
  a.messenger.send(b.messenger.address, { line: 'for as long as usual', body });
  a.messenger.send(b.messenger.address, { line: 'for ever', body, withinMs: Infinity });
  await clock.advance(7_000);
  const after = (ms: number) => expect.stringMatching(`^packet: .* after ${ms} ms`);
  expect(dropped).toEqual([after(1_000), after(5_000)]);
  await clock.advance(33_000);
  expect(dropped).toEqual([after(1_000), after(5_000), after(30_000)]);
  cluster.lead('test.inbox', b.partition, 1);
  await clock.advance(5_000);
  expect(b.lines).toEqual(['perhaps there already', 'for two minutes', 'for ever']);
});
