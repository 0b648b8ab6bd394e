import type { Notice } from '../../src/base/notices';
import { KafkaError } from '../../src/kafka/protocol/errors';
import { ClusterMetadata } from '../../src/kafka/cluster/metadata';
import type { Metadata } from '../../src/kafka/protocol/types';
import { FakeKafka, Holder, max, record, valuesOf } from '../support/fake-kafka-log';

let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(async () => {
  jest.restoreAllMocks();
  await kafka.close();
});

/** Disables the listeners of metadata changes, so that no component reacts to a refresh by another one. */
function makeDeaf(): void {
  jest.spyOn(ClusterMetadata.prototype, 'watch').mockImplementation(() => () => undefined);
}
const states = (heard: readonly Notice[]): readonly (readonly [boolean, string])[] =>
  heard.flatMap((one) => (one.type === 'state' && one.part === 'reading a.b.work' ? [[one.ok, one.reason]] : []));

/** Opens a member that reads two partitions of one broker. One then moves, and the old leader does not report it. */
async function openMoved() {
  const { log, topic, heard } = await kafka.open(2);
  kafka.cluster.lead(topic, 1, 1);
  const holder = new Holder();
  await kafka.run(log.join('g', topic, holder));
  await kafka.until(() => holder.owned.size === 2);
  const reads = [0, 1].map((partition) => {
    const owned = holder.owned.get(partition)!;
    return kafka.watch(owned.read(0, max, owned.lost));
  });
  await kafka.clock.advance(1_000);
  kafka.cluster.lead(topic, 1, 2, 600_000);
  await kafka.run(log.append(topic, [record('a', 1)])); // refreshes the metadata, as broker 1 refuses it
  return { heard, moved: reads[1]! };
}

describe('a partition that another broker leads now', () => {
  it('is fetched there immediately when another component has refreshed the metadata', async () => {
    const { moved, heard } = await openMoved();
    await kafka.clock.advance(20);
    expect(valuesOf(moved.value)).toEqual(['a']);
    expect(states(heard)).toEqual([]);
  });

  it('is reported and then fetched when no fetch included it for five seconds', async () => {
    makeDeaf();
    const { moved, heard } = await openMoved();
    await kafka.clock.advance(4_000);
    expect([moved.settled, states(heard)]).toEqual([false, []]);
    await kafka.clock.advance(3_000);
    expect(valuesOf(moved.value)).toEqual(['a']);
    expect(states(heard)).toEqual([
      [
        false,
        expect.stringMatching(
          /^a\.b\.work\/1 could not be read for 5\d\d\d ms: broker 2 is its leader, but no fetch was/,
        ),
      ],
      [true, expect.any(String)],
    ]);
  });

  it('is fetched from the new leader while the old one is frozen', async () => {
    const { log, topic } = await kafka.open(2);
    for (const partition of [0, 1]) kafka.cluster.lead(topic, partition, 2);
    const tail = await kafka.run(log.tail(topic, 'start'));
    const read = kafka.watch(tail.read(max));
    await kafka.clock.advance(1_000);
    kafka.cluster.freeze(2);
    kafka.cluster.lead(topic, 1, 3);
    await kafka.run(kafka.process('other').log.append(topic, [record('a', 1)]));
    await kafka.until(() => read.settled, 3_000);
    expect(valuesOf(read.value)).toEqual(['a']);
    kafka.cluster.thaw(2);
  });
});

describe('a partition added during a fetch of its broker', () => {
  it('is polled repeatedly until that fetch ends', async () => {
    const { log, topic } = await kafka.open(1);
    const early = await kafka.run(log.tail(topic, 'end'));
    void early.read(max);
    await kafka.clock.advance(600);
    kafka.cluster.script = ({ name, channel: via }) => (name === 'fetch' && via === 'tails' ? 'never' : undefined);
    await kafka.clock.advance(600); // a fetch is in flight that is not answered before its deadline
    const late = await kafka.run(log.tail(topic, 'end'));
    const read = kafka.watch(late.read(max));
    await kafka.clock.advance(50);
    await kafka.run(log.append(topic, [record('a')]));
    await kafka.clock.advance(600);
    expect(valuesOf(read.value)).toEqual(['a']);
    kafka.cluster.script = undefined;
  });
});

describe('the cluster metadata', () => {
  const answer = (leader: number | null, epoch: number): Metadata => {
    const partitions = [{ partition: 0, leader, epoch, replicas: [1, 2], inSync: [1, 2] }];
    return { cluster: '', controller: 1, nodes: [], topics: [{ name: 't', error: null, internal: false, partitions }] };
  };
  const topicPartition = { topic: 't', partition: 0 };
  async function openView() {
    const metadata = kafka.view('one');
    const look = async (said: Metadata | KafkaError): Promise<number | undefined> => {
      metadata.parts.client.metadata = () =>
        said instanceof KafkaError ? Promise.reject(said) : Promise.resolve(said);
      await kafka.run(metadata.refresh());
      return metadata.leader(topicPartition);
    };
    metadata.parts.client.metadata = () => Promise.resolve(answer(1, 3));
    await kafka.run(metadata.findTopic('t'));
    return { view: metadata, look };
  }

  it('keeps a leader when a broker returns one of an earlier election', async () => {
    const { view: metadata, look } = await openView();
    expect(await look(answer(2, 4))).toBe(2);
    expect(await look(answer(1, 3))).toBe(2);
    expect(await look(answer(null, 5))).toBeUndefined();
    expect(await look(answer(1, 6))).toBe(1);
    // A recreated topic counts its elections from 0, and the known leader rejects requests for it.
    metadata.invalidateLeader(topicPartition, 1);
    expect(await look(answer(2, 0))).toBe(2);
    expect(await look(answer(1, -1))).toBe(1); // a broker that returns no election count
  });

  it('notifies its watchers of each refresh and each doubted leader', async () => {
    const { view: metadata, look } = await openView();
    let changes = 0;
    const unwatch = metadata.watch(() => changes++);
    await look(answer(2, 4));
    await look(new KafkaError('CONNECTION', 'no broker answers'));
    metadata.invalidateLeader(topicPartition, 1);
    expect(changes).toBe(2);
    metadata.invalidateLeader(topicPartition, 2);
    expect(changes).toBe(3);
    unwatch();
    await look(answer(2, 5));
    expect(changes).toBe(3);
  });
});
