/** Work on brokers that accept less commit metadata than by default: offset.metadata.max.bytes was lowered. */
import { openNotices } from '../../../src/base/notices';
import { CommitRoom } from '../../../src/kafka/group/commit-room';
import { openScopes } from '../../../src/delivery/context';
import type { Run } from '../../../src/delivery/deliver';
import { incarnation } from '../../../src/format/id';
import { seededRandom } from '../../../src/memory/clock';
import { openSender } from '../../../src/work/submit';
import { consumeQueue } from '../../../src/work/queue/consumer';
import type { QueueConsumer } from '../../../src/work/types';
import { gates, group, loose, parked, topic } from '../../support/work-queue';
import { FakeKafka } from '../../support/fake-kafka-log';

let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

const { resize } = loose();
const random = seededRandom(11);

function around(name: string) {
  const { log, heard } = kafka.process(name);
  const notices = openNotices();
  const clock = { ...kafka.clock, now: () => Math.round(kafka.clock.now()) };
  return { parts: { clock, random, notices, scopes: openScopes(), log }, heard };
}

async function openWorker(name: string, run: (n: number) => unknown) {
  const { parts, heard } = around(name);
  const self = { module: 'photos', instance: `photos#${name}` };
  const handle = ({ n }: { n: number }): unknown => run(n);
  // The engine passes on what the schema returned, and this test submits jobs and nothing else.
  const entries = new Map([[resize.name, { entry: resize, run: handle as Run }]]);
  const limits = () => ({ concurrency: 500 });
  const queue = { name: 'photos.work', topic, group, parkedTopic: parked, entries, other: 'hold' as const, limits };
  const taken: QueueConsumer = await kafka.run(consumeQueue({ ...parts, middleware: [], self, version: '1' }, queue));
  return { taken, heard, log: parts.log };
}

let senders = 0;
async function submit(count: number): Promise<void> {
  const self = { module: 'web', instance: 'web#s' };
  const { parts } = around(`sender${++senders}`);
  const sender = openSender({ ...parts, self, ns: 't', incarnation: incarnation(random), reached: 'broker' });
  await kafka.run(
    sender.send(
      resize,
      Array.from({ length: count }, (_, n) => ({ n })),
    ),
  );
}
const committed = (): number =>
  [...kafka.cluster.group(group).offsets.values()].reduce((sum, { offset }) => sum + offset, 0);

const sizes = [1_000, 100, 40, 0].flatMap((max) => [[max, 'a readable'] as const, [max, 'an unreadable'] as const]);
it.each(sizes)('handles and commits all jobs with %i bytes of commit metadata as %s limit', async (max, how) => {
  kafka.cluster.offsetMetadataMax = max;
  kafka.cluster.configsReadable = how === 'a readable';
  const handled: number[] = [];
  const { taken } = await openWorker('one', (n) => void handled.push(n));
  for (const many of [500, 1_000]) {
    await submit(500);
    await kafka.until(() => handled.length === many, 60_000);
    await kafka.until(() => committed() === many, 60_000);
  }
  expect(handled.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 1_000 }, (_, n) => n >> 1));
  await kafka.run(taken.close());
});

it('repeats no job at a hand-over, although most are settled above a stuck one', async () => {
  kafka.cluster.offsetMetadataMax = 120;
  const { wait, open } = gates();
  const first: number[] = [];
  const one = await openWorker('one', async (n) => {
    if (n % 5 === 0) await wait('all');
    first.push(n);
  });
  await submit(2_000);
  await kafka.clock.advance(20_000);
  const before = [...first];
  expect(before.length).toBeGreaterThan(12 * 10);
  const closing = kafka.watch(one.taken.close());
  const second: number[] = [];
  const two = await openWorker('two', (n) => void second.push(n));
  await kafka.until(() => closing.settled, 60_000);
  await kafka.until(() => new Set([...first, ...second]).size === 2_000, 60_000);
  open('all');
  await kafka.clock.advance(5_000);
  expect(second.filter((n) => before.includes(n))).toEqual([]);
  await kafka.run(two.taken.close());
});

it.each([true, false])('reports a lowered metadata limit once, with its setting: readable %s', async (readable) => {
  kafka.cluster.offsetMetadataMax = 40;
  kafka.cluster.configsReadable = readable;
  const handled: number[] = [];
  const { taken, heard, log } = await openWorker('one', (n) => void handled.push(n));
  await submit(100);
  await kafka.until(() => committed() === 100, 60_000);
  const told = heard.filter((notice) => notice.type === 'state' && notice.part === 'commit size');
  expect(told).toEqual([
    expect.objectContaining({ ok: false, ready: true, reason: expect.stringContaining('offset.metadata.max.bytes') }),
  ]);
  expect(log.stateBytesMax).toBeLessThanOrEqual(30);
  await kafka.run(taken.close());
});

it('reports the end of a limit that a setting made, and none of a limit that follows from a rejected commit', async () => {
  const notices = openNotices();
  const states: boolean[] = [];
  notices.watchStates(({ ok }) => void states.push(ok));
  const room = new CommitRoom(kafka.view('one', notices));
  const learn = async (characters: number): Promise<void> => {
    kafka.cluster.offsetMetadataMax = characters;
    await kafka.clock.advance(60_000);
    await kafka.run(room.learn(1));
  };
  await learn(400);
  expect([room.stateBytesMax, states]).toEqual([300, [false]]);
  await learn(4_096);
  expect([room.stateBytesMax, states]).toEqual([3_072, [false, true]]);
  room.refused(2_000, 'too large');
  await learn(4_096);
  expect([room.stateBytesMax, states]).toEqual([1_000, [false, true, false]]);
});
