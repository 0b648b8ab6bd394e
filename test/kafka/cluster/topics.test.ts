import { isBusError } from '../../../src/base/errors';
import type { Topic } from '../../../src/ports/log';
import { commitAt, FakeKafka, Holder, record } from '../../support/fake-kafka-log';

let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

const work: Topic = { name: 'a.b.work', partitions: 12, compacted: false, keepMs: null };
const configs = (name: string): Record<string, string> => kafka.cluster.topics.get(name)!.configs;

describe('topics', () => {
  it('are created with the retention of their kind: until trimmed, timed, or compacted', async () => {
    const { log } = kafka.process('one');
    await kafka.run(log.ensure(work));
    await kafka.run(log.ensure({ ...work, name: 'a.b.events', keepMs: 604_800_000 }));
    await kafka.run(log.ensure({ ...work, name: 'a.b.parked', partitions: 1, compacted: true }));
    expect(configs('a.b.work')).toMatchObject({
      'cleanup.policy': 'delete',
      'retention.ms': '-1',
      'message.timestamp.type': 'LogAppendTime',
      'min.insync.replicas': '2',
    });
    expect(configs('a.b.events')['retention.ms']).toBe('604800000');
    expect(configs('a.b.parked')['cleanup.policy']).toBe('compact');
    const largest = (name: string): number => Number(configs(name)['max.message.bytes']);
    for (const name of ['a.b.work', 'a.b.parked']) {
      expect(largest(name)).toBeGreaterThan(1_000_000 + 64 * 1024);
      expect(Number(configs(name)['segment.bytes'])).toBeGreaterThan(largest(name));
      expect(configs(name)['compression.type']).toBe('uncompressed');
    }
    // Every accepted record can be parked, with 60,000 bytes of reasons.
    expect(largest('a.b.parked') - largest('a.b.work')).toBeGreaterThanOrEqual(64 * 1024);
  });

  it('are rejected with NotAllowed immediately without a right, and with Unreachable without a leader', async () => {
    const { log } = kafka.process('one');
    kafka.cluster.faultOfTopics = 'TOPIC_AUTHORIZATION_FAILED';
    const beganMs = kafka.clock.mono();
    const refused = await kafka.refusal(log.ensure(work));
    expect(isBusError(refused, 'NotAllowed') && refused.message).toContain('a.b.work');
    expect(kafka.clock.mono() - beganMs).toBeLessThan(100);
    kafka.cluster.faultOfTopics = 'LEADER_NOT_AVAILABLE';
    expect(isBusError(await kafka.refusal(log.ensure(work)), 'Unreachable')).toBe(true);
    expect(kafka.clock.mono() - beganMs).toBeLessThan(12_000);
  });

  it('are created with three replicas, or with the configured number', async () => {
    const asked = (): unknown => kafka.cluster.asked('createTopics').at(-1)?.args[0];
    await kafka.run(kafka.process('one').log.ensure(work));
    expect(asked()).toMatchObject([{ replicas: 3 }]);
    await kafka.run(kafka.process('two', { replicas: 1 }).log.ensure({ ...work, name: 'other' }));
    expect(asked()).toMatchObject([{ replicas: 1, configs: { 'min.insync.replicas': '1' } }]);
  });

  describe('after an outage in which the first broker is back before the others', () => {
    const brokers = ['a:1', 'b:1', 'c:1'];
    const replicas = (): unknown => kafka.cluster.asked('createTopics').map(({ args }) => args[0]);
    /** Begins to create a topic without brokers, and starts the first one. */
    async function begin() {
      const { log } = kafka.process('one', { brokers });
      for (const node of [1, 2, 3]) kafka.cluster.kill(node);
      const creating = kafka.watch(log.ensure(work));
      await kafka.clock.advance(3_000);
      kafka.cluster.start(1);
      await kafka.clock.advance(2_000);
      expect(replicas()).toEqual([]);
      return creating;
    }

    it('are created when all are back, with all replicas', async () => {
      const creating = await begin();
      kafka.cluster.start(2);
      kafka.cluster.start(3);
      await kafka.until(() => creating.settled, 2_000);
      expect(replicas()).toMatchObject([[{ replicas: 3 }]]);
    });

    it('are created after 10 s without the others', async () => {
      const creating = await begin();
      await kafka.until(() => creating.settled, 10_000);
      expect(replicas()).toMatchObject([[{ replicas: 1 }]]);
    });

    it('are no longer waited for when the log is closed', async () => {
      const { log } = kafka.process('one', { brokers });
      kafka.cluster.kill(2);
      kafka.cluster.kill(3);
      kafka.faults('metadata', { error: 'CONNECTION' });
      const creating = kafka.watch(log.ensure(work));
      await kafka.clock.advance(1_000);
      expect(creating.settled).toBe(false);
      await kafka.run(log.close());
      await kafka.until(() => creating.settled, 100);
    });
  });

  it('are created once, although the answer is lost or another process was faster', async () => {
    kafka.faults('createTopics', 'lost');
    const { log } = kafka.process('one');
    expect(await kafka.run(log.ensure(work))).toEqual(work);
    expect(await kafka.run(kafka.process('two').log.ensure(work))).toEqual(work);
    expect(kafka.cluster.topics.size).toBe(1);
  });

  it('are not created with topics: verify, whose error names the command to create them', async () => {
    const { log } = kafka.process('one', { topics: 'verify' });
    const error = await kafka.refusal(log.ensure(work));
    expect(isBusError(error, 'Config')).toBe(true);
    expect(error.message).toContain('kafka-topics.sh --create --topic a.b.work --partitions 12 --replication-factor 3');
    expect(error.message).toContain('--config message.timestamp.type=LogAppendTime');
    expect(kafka.cluster.topics.size).toBe(0);
    await kafka.run(kafka.process('two').log.ensure(work));
    expect(await kafka.run(log.ensure(work))).toEqual(work);
  });

  it('are reported with a repair command when a setting differs, and are not changed', async () => {
    const { log, heard } = kafka.process('one');
    await kafka.run(log.ensure(work));
    await kafka.clock.advance(2_000);
    expect(heard).toEqual([]);
    configs('a.b.work')['retention.ms'] = '1000';
    await kafka.run(log.ensure(work));
    await kafka.clock.advance(1_000);
    const [told] = heard.filter((notice) => notice.type === 'state');
    expect(told).toMatchObject({ part: 'topic a.b.work', ok: false, ready: true });
    expect(JSON.stringify(told)).toContain('retention.ms is 1000, not -1');
    expect(JSON.stringify(told)).toContain('kafka-configs.sh --alter');
    expect(configs('a.b.work')['retention.ms']).toBe('1000');
  });

  it('are reported when they have fewer replicas or in-sync replicas than configured', async () => {
    const { log, heard } = kafka.process('one');
    await kafka.run(log.ensure(work));
    expect(heard).toEqual([]);
    kafka.cluster.topics.get(work.name)!.replicas = 1;
    configs(work.name)['min.insync.replicas'] = '1'; // as it was created with one replica
    const later = kafka.process('later', { replicas: 1 });
    await kafka.run(later.log.ensure(work));
    await kafka.clock.advance(2_000);
    expect(later.heard).toEqual([]);
    const two = kafka.process('two');
    await kafka.run(two.log.ensure(work));
    await kafka.clock.advance(2_000);
    expect(JSON.stringify(two.heard)).toContain('has 1 replicas, not 3');
    kafka.cluster.topics.get(work.name)!.replicas = 3;
    const three = kafka.process('three');
    await kafka.run(three.log.ensure(work));
    await kafka.clock.advance(2_000);
    expect(JSON.stringify(three.heard)).toContain('min.insync.replicas is 1, not 2');
  });

  it('are rejected with Config and a remedy when their number of partitions differs', async () => {
    const { log } = kafka.process('one');
    await kafka.run(log.ensure(work));
    const error = await kafka.refusal(log.ensure({ ...work, partitions: 6 }));
    expect(isBusError(error, 'Config')).toBe(true);
    expect(error.message).toContain('use another queue name');
  });

  it('are found although the requested broker lists them only after 400 ms', async () => {
    await kafka.run(kafka.process('one').log.ensure(work));
    const topic = kafka.cluster.topics.get(work.name)!;
    kafka.cluster.topics.delete(work.name);
    const { log } = kafka.process('two');
    const found = kafka.watch(log.bounds(work.name));
    await kafka.clock.advance(400);
    kafka.cluster.topics.set(work.name, topic);
    await kafka.until(() => found.settled, 2_000);
    expect(found.value).toHaveLength(12);
  });

  it('are rejected with Unreachable while no broker answers', async () => {
    for (const node of [1, 2, 3]) kafka.cluster.kill(node);
    const error = await kafka.refusal(kafka.process('one').log.ensure(work));
    expect(isBusError(error, 'Unreachable')).toBe(true);
  });

  it('are listed only if they belong to the namespace', async () => {
    const { log } = kafka.process('one', { ns: 'a' });
    await kafka.run(log.ensure(work));
    await kafka.run(log.ensure({ ...work, name: 'ab.b.work' }));
    expect((await kafka.run(log.topics())).map(({ name }) => name)).toEqual(['a.b.work']);
  });

  it('are trimmed at most to their end, after their leader has moved', async () => {
    const { log, topic } = await kafka.open(1);
    for (const value of ['a', 'b', 'c']) await kafka.run(log.append(topic, [record(value)]));
    kafka.cluster.lead(topic, 0, 3);
    await kafka.run(log.trim(topic, 0, 2));
    expect(await kafka.run(log.bounds(topic))).toEqual([{ partition: 0, start: 2, end: 3 }]);
    await kafka.run(log.trim(topic, 0, 99));
    expect(await kafka.run(log.bounds(topic))).toEqual([{ partition: 0, start: 3, end: 3 }]);
    await kafka.run(log.trim(topic, 0, 1));
    expect(await kafka.run(log.bounds(topic))).toEqual([{ partition: 0, start: 3, end: 3 }]);
  });
});

describe('groups', () => {
  it('are started with commits at the end, unless they have members', async () => {
    const { log, topic } = await kafka.open(2);
    await kafka.run(log.append(topic, [record('a', 0), record('b', 1)]));
    await kafka.run(log.startGroup('g', topic, 'end'));
    expect((await kafka.run(log.committedOffsets('g', topic))).map(({ offset }) => offset)).toEqual([1, 1]);
    await kafka.run(log.join('other', topic, new Holder()));
    const error = await kafka.refusal(log.startGroup('other', topic, 'end'));
    expect(isBusError(error, 'Conflict')).toBe(true);
  });

  it('are not reset when starting them had an unknown outcome and they have committed since', async () => {
    const { log, topic } = await kafka.open(1);
    await kafka.run(log.append(topic, [record('a')]));
    kafka.faults('offsetCommit', 'lost');
    const holder = new Holder();
    const started = kafka.watch(log.startGroup('g', topic, 'end'));
    await kafka.until(() => kafka.cluster.group('g').offsets.size === 1);
    const member = await kafka.run(kafka.process('two').log.join('g', topic, holder));
    await kafka.run(holder.owned.get(0)!.commit(commitAt(7)));
    await kafka.run(member.close());
    await kafka.until(() => started.settled);
    expect(started.error).toBeUndefined();
    expect((await kafka.run(log.committedOffsets('g', topic))).map(({ offset }) => offset)).toEqual([7]);
  });

  it('list their owners to a process that requests them from the previous coordinator', async () => {
    const { log, topic } = await kafka.open(1);
    await kafka.run(log.join('g', topic, new Holder()));
    const two = kafka.process('two');
    await kafka.run(two.log.committedOffsets('g', topic));
    kafka.cluster.coordinators.set('g', ((kafka.cluster.coordinators.get('g') ?? 0) % 3) + 1);
    expect(await kafka.run(two.log.committedOffsets('g', topic))).toMatchObject([{ owner: 'one' }]);
  });

  it('list the instance that owns each partition, including a partition that is being revoked', async () => {
    const { log, topic } = await kafka.open(2);
    await kafka.run(log.join('g', topic, new Holder(() => new Promise(() => undefined))));
    const two = kafka.process('two');
    await kafka.run(two.log.join('g', topic, new Holder()));
    await kafka.clock.advance(2_000);
    const places = await kafka.run(log.committedOffsets('g', topic));
    expect(places.map(({ partition, owner }) => [partition, owner])).toEqual([
      [0, 'one'],
      [1, 'one'],
    ]);
    expect(await kafka.run(log.groups())).toEqual([{ group: 'g', topic }]);
    two.gate.kill();
    kafka.leave(log);
  });
});
