import { Kafka, logLevel, CompressionTypes } from 'kafkajs';
import type { Route, BrokerClient } from '../../src/kafka/client/broker-client';
import type { ProducerState } from '../../src/kafka/protocol/types';
import type { Stored } from '../../src/ports/log';
import { until } from '../cluster/ports';
import { kafkaSuite } from '../cluster/suite';
import { runTool } from '../cluster/tools';
import {
  again,
  leaderOf,
  longestHold,
  makeTopic,
  openClient,
  record,
  refusal,
  sound,
  timed,
} from '../support/kafka-client';

kafkaSuite(
  'the broker client',
  (suite) => {
    let client: BrokerClient;
    let topic: string;
    let produce: Route;
    let tails: Route;
    let admin: Route;
    beforeAll(async () => {
      client = openClient(suite.cluster.brokers);
      topic = `${suite.namespace}.log`;
      await makeTopic(client, topic, 3, { 'message.timestamp.type': 'LogAppendTime' });
    });
    // A broker that the machine paused has lost its leaderships.
    beforeEach(async () => {
      produce = await leaderOf(client, topic, 0, 'produce');
      tails = { ...produce, channel: 'tails' };
      admin = { ...produce, channel: 'admin' };
    });
    afterAll(() => client.close());

    const topicPartition = (partition: number) => ({ topic, partition });
    const fetchAsk = (offset: number, maxWaitMs = 500) => ({
      partitions: [{ ...topicPartition(0), offset, bytesMax: 1_000_000 }],
      maxWaitMs,
      bytesMax: 10_000_000,
    });

    it('reads brokers, topics, leaders and replicas, and reports a missing topic', async () => {
      const { nodes, topics, controller } = await client.metadata([topic, `${topic}.none`]);
      const [found, missing] = topics.toSorted((a, b) => a.name.length - b.name.length);
      expect(nodes.map(({ node }) => node)).toContain(controller);
      expect(found).toMatchObject({ name: topic, error: null, internal: false });
      expect(found?.partitions.map(({ partition }) => partition)).toEqual([0, 1, 2]);
      expect(found?.partitions.every(({ replicas, inSync }) => inSync.length === replicas.length)).toBe(true);
      expect(missing?.error).toMatchObject({ code: 'UNKNOWN_TOPIC_OR_PARTITION', step: 'leader' });
      expect((await client.metadata(null)).topics.map(({ name }) => name)).toContain(topic);
      expect((await client.metadata([])).topics).toEqual([]);
    });

    it('finds the open transaction that blocks a partition, and its transactional id', async () => {
      const held = `${suite.namespace}.held`;
      await makeTopic(client, held, 1);
      const foreign = new Kafka({ brokers: suite.cluster.brokers.split(','), logLevel: logLevel.NOTHING });
      const transactionalId = `${suite.namespace}-billing`;
      const producer = foreign.producer({ transactionalId, maxInFlightRequests: 1, transactionTimeout: 45_000 });
      await producer.connect();
      const transaction = await producer.transaction();
      await transaction.send({ topic: held, messages: [{ value: 'a' }, { value: 'b' }] });
      const at = await leaderOf(client, held, 0, 'admin');
      await client.produce(
        { ...at, channel: 'produce' },
        [{ topic: held, partition: 0, records: [record('c')] }],
        10_000,
      );

      const offset = async (time: 'start' | 'end' | 'high'): Promise<number | undefined> =>
        sound(await client.listOffsets(at, [{ topic: held, partition: 0, time }]))[0]?.offset;
      expect([await offset('start'), await offset('end'), await offset('high')]).toEqual([0, 0, 3]);
      const partitions = [{ topic: held, partition: 0, offset: 0, bytesMax: 1_000 }];
      const [fetched] = await client.fetch(at, { partitions, maxWaitMs: 0, bytesMax: 1_000 });
      expect(fetched).toMatchObject({ error: null, records: [], next: 0, end: 0, high: 3 });

      const [described] = sound(await client.describeProducers(at, [{ topic: held, partition: 0 }]));
      const open = described?.producers.filter(({ openFrom }) => openFrom !== null) ?? [];
      expect(open).toMatchObject([{ openFrom: 0 }]);
      expect(Math.abs((open[0]?.lastWrittenMs ?? 0) - Date.now())).toBeLessThan(60_000);
      const { nodes } = await client.metadata([]);
      const ids = [open[0]?.producerId ?? -1];
      const listed = await Promise.all(
        nodes.map(async ({ node }) => ({
          node,
          found: await client.listTransactions({ node, channel: 'admin' }, ids),
        })),
      );
      const coordinators = listed.filter(({ found }) => found.length > 0);
      expect(coordinators.map(({ found }) => found)).toEqual([[{ id: transactionalId, producerId: ids[0] }]]);
      const coordinator = { node: coordinators[0]?.node ?? -1, channel: 'admin' } as const;
      const [about] = await client.describeTransactions(coordinator, [transactionalId]);
      expect(about).toMatchObject({
        id: transactionalId,
        error: null,
        state: 'Ongoing',
        timeoutMs: 45_000,
        producerId: ids[0],
      });
      expect(Math.abs((about?.startMs ?? 0) - Date.now())).toBeLessThan(60_000);

      await transaction.abort();
      await until('the partition is free', 30_000, async () => (await offset('end')) === 4);
      await producer.disconnect();
    });

    it('produces, and returns an offset and a timestamp or an error for each partition', async () => {
      const fresh = `${suite.namespace}.fresh`;
      await makeTopic(client, fresh, 1, { 'message.timestamp.type': 'LogAppendTime', 'max.message.bytes': '2000' });
      const leader = await leaderOf(client, fresh, 0, 'produce');
      const batch = { topic: fresh, partition: 0, records: [record('a'), record('b')] };
      const nobody = { topic: `${topic}.none`, partition: 0, records: [record('c')] };
      const [first, refused] = await client.produce(leader, [batch, nobody], 10_000);
      expect(first).toMatchObject({ topic: fresh, partition: 0, error: null, offset: 0, refused: [] });
      expect(Math.abs((first?.timeMs ?? 0) - Date.now())).toBeLessThan(60_000);
      expect(refused).toMatchObject({ error: { code: 'UNKNOWN_TOPIC_OR_PARTITION', uncertain: false }, offset: -1 });
      const [second] = await client.produce(leader, [batch], 10_000);
      expect(second).toMatchObject({ error: null, offset: 2 });
      const [large] = await client.produce(leader, [{ ...batch, records: [record('x'.repeat(3_000))] }], 10_000);
      expect(large?.error).toMatchObject({ code: 'MESSAGE_TOO_LARGE', step: 'rejected', uncertain: false });
    });

    it('writes a batch of a producer once, in the order of sequences and epochs', async () => {
      const fresh = `${suite.namespace}.once`;
      await makeTopic(client, fresh, 1);
      const leader = await leaderOf(client, fresh, 0, 'produce');
      const newId = () => again(60_000, () => client.initProducerId()); // a broker first has to allocate a block of ids
      const [id, other] = [await newId(), await newId()];
      expect(other).not.toBe(id);
      const send = async (count: number, producer: ProducerState) => {
        const records = Array.from({ length: count }, (_, n) => record(`${n}`));
        const [answer] = await client.produce(leader, [{ topic: fresh, partition: 0, records, producer }], 10_000);
        return answer?.error?.code ?? answer?.offset;
      };
      const outcomes = [
        await send(2, { id, epoch: 0, sequence: 0 }),
        await send(1, { id, epoch: 0, sequence: 2 }),
        await send(2, { id, epoch: 0, sequence: 0 }), // a copy: it returns the offset of the first one
        await send(1, { id, epoch: 0, sequence: 0 }), // not a copy, because its size differs
        await send(1, { id, epoch: 0, sequence: 7 }),
        await send(1, { id, epoch: 1, sequence: 3 }),
        await send(1, { id, epoch: 1, sequence: 0 }),
        await send(1, { id, epoch: 0, sequence: 2 }),
        await send(1, { id: other, epoch: 0, sequence: 7 }), // the broker has no state of this producer
      ];
      const [early, late] = ['OUT_OF_ORDER_SEQUENCE_NUMBER', 'INVALID_PRODUCER_EPOCH'];
      expect(outcomes).toEqual([0, 2, 0, early, early, early, 3, late, 4]);
    });

    it('reads only the requested settings of a broker', async () => {
      const found = await client.describeBrokerConfigs(admin, [
        'offset.metadata.max.bytes',
        'producer.id.expiration.ms',
      ]);
      expect(found).toEqual({ 'offset.metadata.max.bytes': '4096', 'producer.id.expiration.ms': '86400000' });
    });

    it('returns the index of the record for which the broker rejected a batch', async () => {
      const compacted = `${suite.namespace}.compacted`;
      await makeTopic(client, compacted, 1, { 'cleanup.policy': 'compact' });
      const records = [record('a', { key: Buffer.from('k') }), record('without a key')];
      const leader = await leaderOf(client, compacted, 0, 'produce');
      const [answer] = await client.produce(leader, [{ topic: compacted, partition: 0, records }], 10_000);
      expect(answer?.error).toMatchObject({ code: 'INVALID_RECORD', step: 'rejected' });
      expect(answer?.refused).toEqual([{ index: 1, reason: expect.stringContaining('key') }]);
    });

    it('returns NOT_LEADER_OR_FOLLOWER when it produces to a broker that does not lead', async () => {
      const { nodes } = await client.metadata([]);
      const other = nodes.find(({ node }) => node !== produce.node);
      if (other === undefined) return; // a cluster of one broker
      const [answer] = await client.produce(
        { ...produce, node: other.node },
        [{ ...topicPartition(0), records: [record('x')] }],
        5_000,
      );
      expect(answer?.error).toMatchObject({ code: 'NOT_LEADER_OR_FOLLOWER', step: 'leader', uncertain: true });
    });

    it('fetches produced records byte for byte, and waits at the end for new ones', async () => {
      const written = [
        record('é', { key: Buffer.from('k'), headers: { bus: 'line é', traceparent: '00-1' } }),
        record(null),
        record('', { key: Buffer.alloc(0) }),
      ];
      const [{ offset: start } = { offset: -1 }] = sound(
        await client.produce(produce, [{ ...topicPartition(0), records: written }], 5_000),
      );
      const [fetched] = sound(await client.fetch(tails, fetchAsk(start)));
      expect(fetched?.records.map(({ key, value, headers }) => ({ key, value, headers }))).toEqual(written);
      expect(fetched?.records.map(({ offset, partition }) => [partition, offset - start])).toEqual([
        [0, 0],
        [0, 1],
        [0, 2],
      ]);
      expect(fetched).toMatchObject({ next: start + 3, end: start + 3, start: 0 });

      const [[empty], waitedMs] = await timed(client.fetch(tails, fetchAsk(start + 3, 300)));
      expect([empty?.records, empty?.next]).toEqual([[], start + 3]);
      expect(waitedMs).toBeGreaterThan(250);
      const coming = timed(client.fetch(tails, fetchAsk(start + 3, 60_000)));
      await client.produce(produce, [{ ...topicPartition(0), records: [record('come')] }], 5_000);
      const [[come], cameMs] = await coming;
      expect(come?.records[0]?.value?.toString()).toBe('come');
      expect(cameMs).toBeLessThan(30_000); // before the maximum wait is over
    });

    it('trims the log, lists its start, and rejects a fetch before it', async () => {
      sound(await client.produce(produce, [{ ...topicPartition(0), records: [record('a'), record('b')] }], 5_000));
      const [end] = sound(await client.listOffsets(admin, [{ ...topicPartition(0), time: 'end' }]));
      const before = (end?.offset ?? 0) - 1;
      expect(sound(await client.deleteRecords(admin, [{ ...topicPartition(0), before }]))).toEqual([
        { ...topicPartition(0), error: null, start: before },
      ]);
      expect((await client.listOffsets(admin, [{ ...topicPartition(0), time: 'start' }]))[0]?.offset).toBe(before);
      expect((await client.listOffsets(admin, [{ ...topicPartition(0), time: 1 }]))[0]?.offset).toBe(before);
      const [gone] = await client.fetch(tails, fetchAsk(0));
      expect(gone?.error).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE', step: 'offsetMissing' });
    });

    it('joins, syncs, sends a heartbeat, commits and leaves as a member of a group', async () => {
      const group = `${suite.namespace}.group`;
      const node = await again(60_000, () => client.findCoordinator(group));
      const at: Route = { node, channel: `group:${group}` };
      const metadata = Buffer.concat([
        Buffer.from('00000000000100', 'hex'),
        Buffer.from([topic.length]),
        Buffer.from(topic),
        Buffer.alloc(4),
      ]);
      const join = {
        group,
        memberId: '',
        sessionMs: 30_000,
        rebalanceMs: 30_000,
        protocols: [{ name: 'p', metadata }],
      };
      const named = await again(60_000, async () => {
        const error = await refusal(client.joinGroup(at, join));
        if (error.retriable) throw error; // the coordinator is still loading
        return error;
      });
      expect(named).toMatchObject({
        code: 'MEMBER_ID_REQUIRED',
        step: 'useAssignedId',
        memberId: expect.stringMatching(/./),
      });
      const memberId = named.memberId ?? '';
      const joined = await client.joinGroup(at, { ...join, memberId });
      expect(joined).toMatchObject({ memberId, leaderId: memberId, protocol: 'p', generation: 1 });
      expect(joined.members).toEqual([{ id: memberId, metadata }]);
      const as = { group, generation: 1, memberId };
      const assignment = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
      expect(await client.syncGroup(at, as, [{ memberId, assignment }], 5_000)).toEqual(assignment);
      await client.heartbeat(at, as);

      expect(await client.offsetCommit(at, as, [{ ...topicPartition(1), offset: 5, metadata: 'state' }])).toEqual([
        { ...topicPartition(1), error: null },
      ]);
      const [old] = await client.offsetCommit(at, { ...as, generation: 0 }, [
        { ...topicPartition(1), offset: 4, metadata: '' },
      ]);
      expect(old?.error).toMatchObject({ code: 'ILLEGAL_GENERATION', step: 'newMember' });
      const [large] = await client.offsetCommit(at, as, [
        { ...topicPartition(1), offset: 6, metadata: 'x'.repeat(4_097) },
      ]);
      expect(large?.error).toMatchObject({ code: 'OFFSET_METADATA_TOO_LARGE', step: 'rejected' });
      expect(await client.offsetFetch(at, group, [topicPartition(1), topicPartition(2)])).toEqual([
        { ...topicPartition(1), error: null, offset: 5, metadata: 'state' },
        { ...topicPartition(2), error: null, offset: null, metadata: '' },
      ]);
      expect(await client.offsetFetch(at, group, null)).toMatchObject([{ ...topicPartition(1), offset: 5 }]);

      expect(await client.listGroups({ node, channel: 'admin' })).toContainEqual({ group, protocolType: 'consumer' });
      const [described] = await client.describeGroups({ node, channel: 'admin' }, [group]);
      expect(described).toMatchObject({
        state: 'Stable',
        protocol: 'p',
        members: [{ id: memberId, clientId: 'busbar-test', metadata, assignment }],
      });
      await client.leaveGroup(at, group, memberId);
      expect(await refusal(client.heartbeat(at, as))).toMatchObject({ code: 'UNKNOWN_MEMBER_ID', step: 'newMember' });
    });

    it('creates, describes, changes, grows and deletes topics', async () => {
      const name = `${suite.namespace}.changing`;
      await makeTopic(client, name, 1, { 'cleanup.policy': 'compact' });
      const [twice] = await client.createTopics(admin, [{ name, partitions: 1, replicas: -1, configs: {} }]);
      expect(twice?.error).toMatchObject({ code: 'TOPIC_ALREADY_EXISTS' });
      await client.incrementalAlterConfigs(admin, name, { 'segment.bytes': '1048576' });
      await client.createPartitions(admin, name, 3);
      await leaderOf(client, name, 2, 'admin');
      const set = async () => {
        const [found] = await again(60_000, async () => sound(await client.describeTopicConfigs(admin, [name])));
        return Object.entries(found?.configs ?? {}).filter(([, { isDefault }]) => !isDefault);
      };
      await until('this broker has heard of the change', 60_000, async () => (await set()).length === 2);
      expect(Object.fromEntries((await set()).map(([config, { value }]) => [config, value]))).toEqual({
        'cleanup.policy': 'compact',
        'segment.bytes': '1048576',
      });
      expect(await refusal(client.createPartitions(admin, name, 2))).toMatchObject({
        code: 'INVALID_PARTITIONS',
        fatal: true,
      });
      expect(await refusal(client.incrementalAlterConfigs(admin, name, { 'no.such': '1' }))).toMatchObject({
        code: 'INVALID_CONFIG',
      });
      expect(await client.deleteTopics(admin, [name])).toEqual([{ topic: name, error: null }]);
    });

    it('blocks the event loop for less than 100 ms for records with 10,000 headers', async () => {
      const headers = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`header-${i}`, `value ${i}`]));
      const bombs = Array.from({ length: 2 }, () => record('bomb', { headers }));
      const [{ offset } = { offset: -1 }] = sound(
        await client.produce(produce, [{ ...topicPartition(0), records: [...bombs, record('after')] }], 10_000),
      );
      let values: (string | undefined)[] = [];
      const heldMs = await longestHold(async () => {
        const [fetched] = sound(await client.fetch(tails, fetchAsk(offset)));
        values = fetched?.records.map(({ value }) => value?.toString()) ?? [];
      });
      expect(values).toEqual(['bomb', 'bomb', 'after']);
      expect(heldMs).toBeLessThan(100);
    });

    describe('beside other clients', () => {
      let kafkajs: Kafka;
      beforeAll(() => {
        const brokers = suite.cluster.brokers.split(',');
        kafkajs = new Kafka({ clientId: 'other', brokers, logLevel: logLevel.NOTHING });
      });

      /** Waits for the first records of partition 0, and returns them. */
      async function readSome(name: string): Promise<readonly Stored[]> {
        const at = await leaderOf(client, name, 0, 'tails');
        for (let [offset, tries] = [0, 0]; ; tries++) {
          const partitions = [{ topic: name, partition: 0, offset, bytesMax: 1_000_000 }];
          const [fetched] = sound(await client.fetch(at, { partitions, maxWaitMs: 500, bytesMax: 1_000_000 }));
          if (fetched === undefined || tries === 50) throw new Error(`nothing comes in ${name}`);
          if (fetched.records.length > 0) return fetched.records;
          offset = fetched.next;
        }
      }

      it('reads committed compressed records of kafkajs, and none of an aborted transaction', async () => {
        const theirs = `${suite.namespace}.theirs`;
        await makeTopic(client, theirs, 1);
        const producer = kafkajs.producer({ transactionalId: theirs, maxInFlightRequests: 1, idempotent: true });
        await producer.connect();
        const message = (value: string) => ({
          topic: theirs,
          messages: [{ key: 'k', value, headers: { from: 'kafkajs' } }],
        });
        const aborted = await producer.transaction();
        await aborted.send(message('aborted'));
        await aborted.abort();
        const kept = await producer.transaction();
        await kept.send({ ...message('packed'), compression: CompressionTypes.GZIP });
        await kept.commit();
        await producer.disconnect();
        // Readers see the commit only a moment after it resolves.
        const [only] = await readSome(theirs);
        expect([only?.value?.toString(), only?.headers]).toEqual(['packed', { from: 'kafkajs' }]);
      });

      it.each(['snappy', 'lz4', 'gzip'])(
        'reads batches that Java compressed with %s',
        async (how) => {
          const theirs = `${suite.namespace}.${how}`;
          await makeTopic(client, theirs, 1);
          const values = Array.from(
            { length: 200 },
            (_, i) => `value ${i} ${'of many that look alike '.repeat(i % 7)}`,
          );
          const args = ['--topic', theirs, '--compression-codec', how, '--batch-size', '20000'];
          await runTool(suite.cluster, 'producer', args, values.join('\n'));
          expect((await readSome(theirs)).map(({ value }) => value?.toString())).toEqual(values);
        },
        60_000,
      );

      it('writes records that kafkajs reads', async () => {
        const ours = `${suite.namespace}.ours`;
        await makeTopic(client, ours, 1);
        const at = await leaderOf(client, ours, 0, 'produce');
        const written = [record('one', { key: Buffer.from('k'), headers: { bus: 'line' } }), record(null)];
        sound(await client.produce(at, [{ topic: ours, partition: 0, records: written }], 5_000));
        const consumer = kafkajs.consumer({ groupId: ours });
        await consumer.connect();
        await consumer.subscribe({ topic: ours, fromBeginning: true });
        const read: unknown[] = [];
        const both = new Promise<void>((resolve) => {
          const eachMessage = ({
            message: { key, value, headers },
          }: {
            message: Record<'key' | 'value', Buffer | null> & { headers?: object };
          }) => {
            read.push([key?.toString(), value?.toString(), Object.entries(headers ?? {}).map(String)]);
            if (read.length === 2) resolve();
            return Promise.resolve();
          };
          void consumer.run({ eachMessage });
        });
        await both;
        await consumer.disconnect();
        expect(read).toEqual([
          ['k', 'one', ['bus,line']],
          [undefined, undefined, []],
        ]);
      });
    });
  },
  { tools: true },
);
