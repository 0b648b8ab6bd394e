/** Changes by operators and other tools on the cluster of a running instance, and its reports about them. */
import type { Notice } from '../../../src/base/notices';
import { openNotices } from '../../../src/base/notices';
import { openHealth } from '../../../src/bus/health';
import type { Topic } from '../../../src/ports/log';
import { FakeKafka, Holder, max, never, record, valuesOf } from '../../support/fake-kafka-log';

let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

const work: Topic = { name: 'a.b.work', partitions: 3, compacted: false, keepMs: null };
type State = Extract<Notice, { type: 'state' }>;

/** Opens an instance that reads all partitions of a topic, and collects its state notices. */
async function open(more: Partial<Topic> = {}) {
  const one = kafka.process('one');
  await kafka.run(one.log.ensure({ ...work, ...more }));
  const holder = new Holder();
  await kafka.run(one.log.join('g', work.name, holder));
  const reads = [...holder.owned.values()].map((owned) => kafka.watch(owned.read(0, max, never)));
  await kafka.clock.advance(2_000);
  const states = (): State[] => one.heard.filter((notice) => notice.type === 'state');
  expect(states()).toEqual([]);
  return { ...one, holder, reads, states, topic: kafka.cluster.topics.get(work.name)! };
}
/** Returns the health after these notices. */
function healthAfter(states: readonly State[]) {
  const notices = openNotices();
  const health = openHealth(kafka.clock, notices, { refused: [] }, () => []);
  for (const state of states) notices.emit(state);
  return health.read();
}

describe('a changed setting of a topic', () => {
  const setBack = 'kafka-configs.sh --alter --entity-type topics --entity-name a.b.work --add-config';
  test.each([
    [
      'retention.ms',
      '60000',
      'records are deleted when they are older than 60000 ms, whether they were handled or not',
    ],
    ['retention.bytes', '1000', 'the oldest records are deleted when a partition is larger than 1000 bytes'],
    ['cleanup.policy', 'compact', 'of the records of one key all but the newest are deleted'],
    ['cleanup.policy', 'compact,delete', 'of the records of one key all but the newest are deleted'],
    ['max.message.bytes', '1000', 'messages of more than 1000 bytes are rejected'],
    ['max.message.bytes', '9000000', 'the brokers accept messages that are too large to be parked whole'],
    ['min.insync.replicas', '1', 'an accepted message is lost when one broker fails'],
    ['min.insync.replicas', '3', 'writing stops when fewer brokers fail'],
    ['compression.type', 'zstd', 'instances on Node.js before 22.15 cannot read it'],
    ['message.timestamp.type', 'CreateTime', 'deadlines and ages depend on the clocks of the senders'],
  ])('%s = %s is reported with its effect and repair within a minute, until reverted', async (name, value, effect) => {
    const { topic, states } = await open();
    const before = topic.configs[name]!;
    topic.configs[name] = value;
    await kafka.clock.advance(61_000);
    expect(states()).toMatchObject([{ part: 'topic a.b.work', ok: false, ready: true }]);
    const { reason } = states()[0]!;
    expect(reason).toContain(`${name} is ${value}, not ${before}: ${effect}`);
    expect(reason).toContain(`Restore it: ${setBack} ${name}=${before}`);
    expect(healthAfter(states())).toMatchObject({ live: true, ready: true, reasons: [{ part: 'topic a.b.work' }] });
    topic.configs[name] = before;
    await kafka.clock.advance(61_000);
    expect(states().slice(1)).toMatchObject([{ part: 'topic a.b.work', ok: true }]);
  });

  test('is reported in one notice with all changed settings, and again when another one changes', async () => {
    const { topic, states } = await open();
    Object.assign(topic.configs, { 'retention.ms': '1', 'retention.bytes': '1' });
    await kafka.clock.advance(300_000);
    expect(states()).toHaveLength(1);
    topic.configs['cleanup.policy'] = 'compact';
    await kafka.clock.advance(300_000);
    expect(states()).toHaveLength(2);
    expect(states()[1]!.reason).toMatch(/cleanup\.policy is compact.*retention\.ms=-1,retention\.bytes=-1/);
  });

  test('costs at most two requests a minute, independent of the number of topics', async () => {
    const { log } = await open();
    for (let n = 0; n < 5; n++) await kafka.run(log.ensure({ ...work, name: `a.b${n}.work` }));
    const count = (): number => kafka.cluster.asked('describeTopicConfigs').length;
    const before = count();
    await kafka.clock.advance(600_000);
    expect(count() - before).toBeGreaterThanOrEqual(10);
    expect(count() - before).toBeLessThanOrEqual(20);
  });

  test('cannot be detected without the right to read settings, which is reported', async () => {
    const { states } = await open();
    kafka.cluster.script = ({ name }) =>
      name === 'describeTopicConfigs' ? { error: 'TOPIC_AUTHORIZATION_FAILED' } : undefined;
    await kafka.clock.advance(61_000);
    expect(states()).toMatchObject([{ part: 'topic settings', ok: false, ready: true }]);
    kafka.cluster.script = undefined;
    await kafka.clock.advance(61_000);
    expect(states().slice(1)).toMatchObject([{ part: 'topic settings', ok: true }]);
  });
});

describe('partitions of a topic', () => {
  test('are reported when an operator adds some, with the steps to use them', async () => {
    const { topic, states } = await open();
    topic.partitions.push({ ...topic.partitions[0]!, records: [] });
    await kafka.clock.advance(61_000);
    expect(states()).toMatchObject([{ part: 'topic a.b.work', ok: false, ready: true }]);
    expect(states()[0]!.reason).toContain('a.b.work has 4 partitions, but this version uses 3');
    expect(states()[0]!.reason).toContain('Stop its senders, wait until its queues are empty');
  });

  test('are reported after five seconds without a leader, with the broker to start', async () => {
    const { states } = await open();
    for (const partition of [0, 2]) kafka.cluster.lead(work.name, partition, null);
    kafka.cluster.nodes.get(3)!.up = false;
    await kafka.clock.advance(4_000);
    const ofTopic = () => states().filter(({ part }) => part === 'topic a.b.work');
    expect(ofTopic()).toEqual([]);
    await kafka.clock.advance(30_000);
    expect(ofTopic()).toMatchObject([{ ok: false }]);
    expect(ofTopic()[0]!.reason).toMatch(/partitions 0, 2 of a\.b\.work have no leader.*Start broker 3/);
    expect(healthAfter(states()).ready).toBe(false);
  });

  test('are reported when they have too few in-sync replicas, with the brokers to start', async () => {
    const { states } = await open();
    kafka.cluster.kill(2);
    kafka.cluster.kill(3);
    await kafka.clock.advance(70_000);
    const ofTopic = states().filter(({ part }) => part === 'topic a.b.work');
    expect(ofTopic).toMatchObject([{ ok: false }]);
    expect(ofTopic[0]!.reason).toContain('fewer in-sync replicas than min.insync.replicas (2), so nothing is written');
    expect(ofTopic[0]!.reason).toContain('Start broker 2, 3');
    kafka.cluster.start(2);
    kafka.cluster.start(3);
    await kafka.clock.advance(70_000);
    expect(states().at(-1)).toMatchObject({ part: 'topic a.b.work', ok: true });
  });

  test('are not reported when they move to another leader', async () => {
    const { log, states, reads } = await open();
    for (const [partition, node] of [
      [0, 2],
      [1, 3],
      [2, 1],
    ] as const)
      kafka.cluster.lead(work.name, partition, node);
    await kafka.run(log.append(work.name, [record('a', 1)]));
    await kafka.until(() => reads[1]!.settled, 5_000);
    await kafka.clock.advance(120_000);
    expect(states()).toEqual([]);
  });
});

describe('an open transaction of another producer', () => {
  const transaction = (from: number) => ({
    from,
    producerId: 1_002,
    id: 'billing-7',
    startMs: kafka.clock.now(),
    timeoutMs: 60_000,
  });
  /** Opens a transaction that blocks partition 1 from its first record on, with a job behind it. */
  async function hold() {
    const opened = await open();
    opened.topic.partitions[1]!.open = transaction(0);
    await kafka.run(opened.log.append(work.name, [record('theirs', 1), record('ours', 1)]));
    return opened;
  }

  test('is reported after ten seconds with its identity and the command to abort it', async () => {
    const { states } = await hold();
    await kafka.clock.advance(9_000);
    expect(states()).toEqual([]);
    await kafka.clock.advance(10_000);
    expect(states()).toMatchObject([{ part: 'transactions in a.b.work', ok: false, ready: true }]);
    const { reason } = states()[0]!;
    expect(reason).toContain('2 records of a.b.work cannot be read while transactions are open');
    expect(reason).toMatch(
      /partition 1 from offset 0 by transaction 'billing-7' \(producer id 1002, epoch 0, open for 1\d s of at most 60 s\)/,
    );
    const command = 'abort --topic a.b.work --partition 1 --start-offset 0';
    expect(reason).toContain(`kafka-transactions.sh --bootstrap-server HOST:PORT ${command}`);
    expect(healthAfter(states())).toMatchObject({ ready: true, reasons: [{ part: 'transactions in a.b.work' }] });
  });

  test('is reported once, and its end is reported when its records are read', async () => {
    const { states, topic, reads } = await hold();
    await kafka.clock.advance(120_000);
    expect(states()).toHaveLength(1);
    expect(kafka.cluster.asked('describeProducers')).toHaveLength(1);
    topic.partitions[1]!.open = undefined;
    await kafka.until(() => reads[1]!.settled, 5_000);
    expect(valuesOf(reads[1]!.value)).toEqual(['theirs', 'ours']);
    await kafka.clock.advance(2_000);
    expect(states().slice(1)).toMatchObject([{ part: 'transactions in a.b.work', ok: true }]);
  });

  test('is reported with the command that finds it when the brokers do not describe it', async () => {
    kafka.cluster.script = ({ name }) =>
      name === 'describeProducers' ? { error: 'TOPIC_AUTHORIZATION_FAILED' } : undefined;
    const { states } = await hold();
    await kafka.clock.advance(20_000);
    expect(states()[0]!.reason).toContain('partition 1 from offset 0. Find them with kafka-transactions.sh');
  });

  test('is not reported when each of a series lasts less than ten seconds', async () => {
    const { states, topic, log } = await open();
    for (let n = 0; n < 10; n++) {
      topic.partitions[1]!.open = transaction(topic.partitions[1]!.end);
      await kafka.run(log.append(work.name, [record('theirs', 1)]));
      await kafka.clock.advance(5_000);
      topic.partitions[1]!.open = undefined;
      await kafka.clock.advance(100);
    }
    expect(states()).toEqual([]);
  });

  test('is listed by the log, whose bounds end at its first record', async () => {
    const { log } = await hold();
    expect(await kafka.run(log.bounds(work.name))).toEqual([
      { partition: 0, start: 0, end: 0 },
      { partition: 1, start: 0, end: 0, high: 2 },
      { partition: 2, start: 0, end: 0 },
    ]);
    expect(await kafka.run(log.openTransactions(work.name, [0, 1]))).toMatchObject([
      { partition: 1, offset: 0, id: 'billing-7', producerId: 1_002, timeoutMs: 60_000 },
    ]);
  });
});

describe('the right to write', () => {
  test('is reported as missing until a record is accepted again', async () => {
    const { log, states } = await open();
    kafka.cluster.refuse = () => ({ error: 'TOPIC_AUTHORIZATION_FAILED' });
    const error = await kafka.refusal(log.append(work.name, [record('a')]));
    expect(error).toMatchObject({ code: 'NotAllowed' });
    await kafka.clock.advance(1_000);
    expect(states()).toMatchObject([{ part: 'writing a.b.work', ok: false }]);
    expect(states()[0]!.reason).toContain('TOPIC_AUTHORIZATION_FAILED');
    expect(states()[0]!.reason).toContain('kafka-acls.sh');
    kafka.cluster.refuse = undefined;
    await kafka.run(log.append(work.name, [record('b')]));
    await kafka.clock.advance(1_000);
    expect(states().slice(1)).toMatchObject([{ part: 'writing a.b.work', ok: true }]);
  });

  test('is reported as restored when no record was rejected for a minute', async () => {
    const { log, states } = await open();
    kafka.cluster.refuse = () => ({ error: 'TOPIC_AUTHORIZATION_FAILED' });
    await kafka.refusal(log.append(work.name, [record('a')]));
    await kafka.clock.advance(62_000);
    expect(states().map(({ ok }) => ok)).toEqual([false, true]);
  });
});
