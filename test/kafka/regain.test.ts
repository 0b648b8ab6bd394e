/** Workers during an outage of their coordinator: each regains its partitions, and repeats no finished job. */
import { openNotices, type Notice } from '../../src/base/notices';
import { openScopes } from '../../src/delivery/context';
import type { Run } from '../../src/delivery/deliver';
import { incarnation } from '../../src/format/id';
import { seededRandom } from '../../src/memory/clock';
import { openSender } from '../../src/work/submit';
import { consumeQueue } from '../../src/work/queue/consumer';
import { heavy } from '../heavy';
import { group, jobs, parked, topic } from '../support/work-queue';
import { FakeKafka, Holder } from '../support/fake-kafka-log';
import type { KafkaProcess } from '../support/kafka-log-ports';

const sessionMs = 10_000;
const { resize } = jobs();
let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

const coordinator = (): number => kafka.cluster.coordinators.get(group) ?? 0;
const ofGroups: ReadonlySet<string> = new Set([
  'heartbeat',
  'offsetCommit',
  'joinGroup',
  'syncGroup',
  'offsetFetch',
  'findCoordinator',
]);
/**
 * Takes the coordinator down until the returned function is called: group requests get no answer, and no session
 * expires. Records are read and written meanwhile.
 */
function cutOff(name = group): () => void {
  kafka.cluster.script = (request) => (ofGroups.has(request.name) ? 'never' : undefined);
  kafka.cluster.group(name).close();
  return () => {
    kafka.cluster.script = undefined;
    kafka.cluster.group(name).takeOver();
  };
}
const around = (one: KafkaProcess) => ({
  clock: { ...kafka.clock, now: () => Math.round(kafka.clock.now()) }, // in whole milliseconds, as on a real machine
  random: { next: () => 0.5 },
  notices: openNotices(),
  scopes: openScopes(),
  log: one.log,
});

/** Workers of one queue, and the jobs that each has handled. */
class QueueWorkers {
  readonly handled: string[] = [];
  readonly states: string[] = [];
  readonly reasons: string[] = [];
  readonly partitions = new Map<string, () => readonly number[]>();
  #sent = 0;

  async worker(name: string): Promise<void> {
    const notices = openNotices();
    const parts = {
      ...around(kafka.process(name, { notices })),
      notices,
      middleware: [],
      self: { module: 'photos', instance: `photos#${name}` },
      version: '1',
    };
    parts.notices.watch((notice: Notice) => {
      if (notice.type !== 'state') return;
      this.states.push(`${name} ${notice.part} ${notice.ok}`);
      this.reasons.push(notice.reason);
    });
    const run = ({ n }: { n: number }): void => void this.handled.push(`${name}:${n}`);
    // The engine passes on what the schema returned, and this test submits jobs and nothing else.
    const entries = new Map([[resize.name, { entry: resize, run: run as Run }]]);
    const queue = {
      name: 'photos.work',
      topic,
      group,
      parkedTopic: parked,
      entries,
      other: 'hold' as const,
      sessionMs,
    };
    const taken = await kafka.run(consumeQueue(parts, queue));
    this.partitions.set(name, () => taken.stats().partitions);
  }

  /** Submits `count` jobs, one every `everyMs`. */
  async load(count: number, everyMs: number): Promise<void> {
    const one = kafka.process(`web${this.#sent}`);
    const self = { module: 'web', instance: 'web#1' };
    const life = incarnation(seededRandom(this.#sent + 7));
    const sender = openSender({ ...around(one), self, ns: 't', incarnation: life, reached: 'broker' });
    for (let sent = 0; sent < count; sent++) {
      void sender.send(resize, [{ n: this.#sent++ }]).catch(() => undefined); // jobs are counted when they are handled
      await kafka.clock.advance(everyMs);
    }
  }
  get repeated(): string[] {
    const numbers = this.handled.map((one) => one.split(':')[1]);
    return this.handled.filter((_, at) => numbers.indexOf(numbers[at]) !== at);
  }
  owned(): string {
    return [...this.partitions].map(([name, owned]) => `${name}: ${owned().join()}`).join('; ');
  }
}

async function openWorkers(): Promise<QueueWorkers> {
  const workers = new QueueWorkers();
  await kafka.run(kafka.process('admin').log.ensure(topic));
  await kafka.run(kafka.process('admin2').log.ensure(parked));
  await workers.worker('a');
  await workers.worker('b');
  await kafka.until(() => [...workers.partitions.values()].every((owned) => owned().length === 6));
  await workers.load(100, 10);
  return workers;
}

/** Returns the jobs that were handled twice when one is submitted every `everyMs` during the outage. */
const away = async (forMs: number, everyMs: number): Promise<string[]> => {
  const workers = await openWorkers();
  const before = workers.owned();
  const comeBack = cutOff();
  await workers.load(forMs / everyMs, everyMs);
  comeBack();
  await workers.load(10_000 / everyMs, everyMs);
  const sent = 100 + forMs / everyMs + 10_000 / everyMs;
  await kafka.until(() => new Set(workers.handled.map((one) => one.split(':')[1])).size === sent);
  expect(workers.owned()).toBe(before);
  return workers.repeated;
};
test('no job is repeated when the coordinator is down for 30 s under light traffic', async () => {
  expect(await away(30_000, 500)).toEqual([]);
});
heavy('no job is repeated when the coordinator is down for 30 s under load', async () => {
  expect(await away(30_000, 20)).toEqual([]);
});
heavy('no job is repeated when the coordinator is down for less than a session', async () => {
  expect(await away(5_000, 20)).toEqual([]);
});

heavy('no job is repeated when the coordinator is killed, and failing commits are reported', async () => {
  const workers = await openWorkers();
  const comeBack = cutOff();
  await workers.load(450, 20);
  kafka.cluster.kill(coordinator());
  comeBack();
  await workers.load(500, 20);
  await kafka.until(() => new Set(workers.handled.map((one) => one.split(':')[1])).size === 1_050);
  expect(workers.repeated).toEqual([]);
  const about = (name: string): string[] => workers.states.filter((one) => one.startsWith(`${name} commits in`));
  expect(about('a')).toEqual(['a commits in photos.work false', 'a commits in photos.work true']);
  expect(about('b')).toEqual(['b commits in photos.work false', 'b commits in photos.work true']);
});

heavy('a member that joins as the coordinator returns receives its share after the others committed', async () => {
  const workers = await openWorkers();
  const comeBack = cutOff();
  await workers.load(600, 50);
  comeBack();
  await workers.worker('c');
  await workers.load(200, 20);
  await kafka.until(() => [...workers.partitions.values()].every((owned) => owned().length === 4));
  await kafka.until(() => new Set(workers.handled.map((one) => one.split(':')[1])).size === 900);
  expect(workers.repeated).toEqual([]);
});

test('commits rejected by the coordinator are one state notice of each instance, with the reason', async () => {
  const workers = await openWorkers();
  kafka.cluster.script = ({ name }) =>
    name === 'offsetCommit' ? { error: 'COORDINATOR_LOAD_IN_PROGRESS' } : undefined;
  await workers.load(100, 20);
  await kafka.clock.advance(10_000);
  expect(workers.states.toSorted()).toEqual(['a commits in photos.work false', 'b commits in photos.work false']);
  const reason = expect.stringMatching(/no commit has succeeded .*COORDINATOR_LOAD_IN_PROGRESS/);
  expect(workers.reasons).toEqual([reason, reason]);
  kafka.cluster.script = undefined;
  await kafka.clock.advance(10_000);
  expect(workers.states.slice(2).toSorted()).toEqual([
    'a commits in photos.work true',
    'b commits in photos.work true',
  ]);
});

test('a member regains its lost partitions before any is assigned to another member', async () => {
  const one = await kafka.open(4);
  const holder = new Holder();
  await kafka.run(one.log.join('g', one.topic, holder, { sessionMs }));
  const owned = [...holder.owned.values()];
  const comeBack = cutOff('g');
  await kafka.until(() => owned.every(({ lost }) => lost.aborted), sessionMs);
  const two = kafka.process('two');
  const other = new Holder();
  const second = kafka.watch(two.log.join('g', one.topic, other, { sessionMs }));
  await kafka.clock.advance(1_000);
  comeBack();
  await kafka.until(() => second.settled && other.owned.size === 2);
  expect(holder.ever).toHaveLength(8);
  expect(holder.owned.size).toBe(2);
});
