import { KnownTopics } from '../../../src/kafka/cluster/known-topics';
import { KafkaError } from '../../../src/kafka/protocol/errors';
import type { TopicMetadata } from '../../../src/kafka/protocol/types';
import { virtualClock } from '../../../src/memory/clock';

function known() {
  const clock = virtualClock();
  const topics = new KnownTopics(clock);
  topics.add('t');
  return { clock, topics };
}
/** A report of the topic t: [leader, epoch] of each partition. */
const report = (...leaders: [leader: number | null, epoch: number][]): TopicMetadata[] => [
  {
    name: 't',
    error: null,
    internal: false,
    partitions: leaders.map(([leader, epoch], partition) => ({ partition, leader, epoch, replicas: [], inSync: [] })),
  },
];
const failed = (code: string): TopicMetadata[] => [
  { name: 't', error: new KafkaError(code, 'topic t'), internal: false, partitions: [] },
];

describe('the known topics', () => {
  it('store the reports on added topics only', () => {
    const { topics } = known();
    expect(
      topics.learn([...report([1, 0], [2, 0]), { name: 'other', error: null, internal: false, partitions: [] }]),
    ).toBe(true);
    expect([topics.leader('t', 0), topics.leader('t', 1), topics.leader('t', 2)]).toEqual([1, 2, undefined]);
    expect([topics.names, topics.get('other')]).toEqual([['t'], undefined]);
    expect(topics.learn(report([1, 0], [2, 0]))).toBe(false);
    topics.remove('t');
    expect(topics.names).toEqual([]);
  });

  it('keep a leader that has a higher epoch than the reported one, unless it is in doubt', () => {
    const { topics } = known();
    topics.learn(report([1, 5]));
    expect(topics.learn(report([2, 4]))).toBe(false);
    expect(topics.leader('t', 0)).toBe(1);
    expect([topics.invalidateLeader('t', 0, 3), topics.invalidateLeader('t', 0, 1)]).toEqual([false, true]);
    expect(topics.leader('t', 0)).toBeUndefined();
    expect(topics.learn(report([2, 4]))).toBe(true);
    expect(topics.leader('t', 0)).toBe(2);
  });

  it('count the absences of a topic and their time, and then have no leaders', async () => {
    const { clock, topics } = known();
    topics.learn(report([1, 0]));
    expect(topics.absentMs('t')).toBe(0);
    topics.learn(failed('UNKNOWN_TOPIC_OR_PARTITION'));
    await clock.advance(700);
    topics.learn(failed('UNKNOWN_TOPIC_OR_PARTITION'));
    expect([topics.absentMs('t'), topics.get('t')?.absences, topics.leader('t', 0)]).toEqual([700, 1, undefined]);
    expect(topics.get('t')?.fault).toBeUndefined();
    topics.learn(report([1, 0]));
    expect([topics.absentMs('t'), topics.leader('t', 0)]).toEqual([0, 1]);
  });

  it('keep the leaders of a topic that brokers report with another error', () => {
    const { topics } = known();
    topics.learn(report([1, 0]));
    topics.learn(failed('TOPIC_AUTHORIZATION_FAILED'));
    expect(topics.get('t')?.fault).toMatchObject({ code: 'TOPIC_AUTHORIZATION_FAILED' });
    expect(topics.leader('t', 0)).toBe(1);
  });
});
