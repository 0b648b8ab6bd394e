/** Reports and recovery of instances whose topic an operator deletes. */
import { defaultMaxListeners, getEventListeners } from 'node:events';
import type { Notice } from '../../src/base/notices';
import type { Topic } from '../../src/ports/log';
import { FakeKafka, Holder, max, never, record, valuesOf } from '../support/fake-kafka-log';

let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

const states = (heard: readonly Notice[]) => heard.filter((notice) => notice.type === 'state');
const createsWork = 'kafka-topics.sh --create --topic a.b.work --partitions 12 --replication-factor 3';

/** Opens a member that reads all partitions, and deletes the topic. */
async function openAndDelete() {
  const one = await kafka.open(12);
  const holder = new Holder();
  await kafka.run(one.log.join('g', one.topic, holder));
  const reads = [...holder.owned.values()].map((owned) => kafka.watch(owned.read(0, max, never)));
  kafka.cluster.topics.delete(one.topic);
  return { ...one, holder, reads };
}

describe('a deleted topic', () => {
  it('fails appends within seconds with an error that has the command to create it', async () => {
    const { log, topic } = await openAndDelete();
    const beganMs = kafka.clock.mono();
    const batched = kafka.watch(log.append(topic, [record('a', 2)]));
    await kafka.clock.advance(1_000);
    const queued = kafka.watch(log.append(topic, [record('b', 2), record('c', 3)]));
    await kafka.until(() => batched.settled && queued.settled);
    expect(kafka.clock.mono() - beganMs).toBeLessThan(7_000);
    const afterwards = await kafka.refusal(log.append(topic, [record('d', 2)]), 1_000);
    for (const error of [batched.error, queued.error, afterwards]) {
      expect(error).toMatchObject({ code: 'Unreachable', message: expect.stringContaining(createsWork) });
      expect(String(error)).toContain('topic a.b.work does not exist');
    }
  });

  it('rejects a partly written append with an unknown outcome, which is not retryable', async () => {
    const { topic } = await kafka.open(2);
    kafka.cluster.lead(topic, 1, null);
    const { log } = kafka.process('two');
    const both = kafka.watch(log.append(topic, [record('a', 0), record('b', 1)]));
    await kafka.until(() => kafka.cluster.values(topic, 0).length > 0);
    kafka.cluster.topics.delete(topic);
    await kafka.until(() => both.settled);
    expect(both.error).toMatchObject({ code: 'Unreachable', details: { outcome: 'unknown' }, retryable: false });
  });

  it('is reported in one state notice, however many partitions were read', async () => {
    const { heard } = await openAndDelete();
    await kafka.clock.advance(20_000);
    expect(states(heard)).toMatchObject([{ ok: false, reason: expect.stringContaining(createsWork) }]);
  });

  it('adds fewer abort listeners to a signal than Node.js warns about', async () => {
    const spy = jest.spyOn(AbortSignal.prototype, 'addEventListener');
    await openAndDelete();
    const listeners: number[] = [];
    for (let n = 0; n < 100; n++) {
      await kafka.clock.advance(50);
      const signals = new Set(spy.mock.contexts as AbortSignal[]); // Jest does not type the contexts
      for (const signal of signals) listeners.push(getEventListeners(signal, 'abort').length);
    }
    spy.mockRestore();
    expect(Math.max(...listeners)).toBeLessThanOrEqual(defaultMaxListeners);
  });

  it('is written and read from its start after it is created again', async () => {
    const { log, topic, reads, heard } = await openAndDelete();
    await kafka.clock.advance(10_000);
    const work: Topic = { name: topic, partitions: 12, compacted: false, keepMs: null };
    await kafka.run(kafka.process('two').log.ensure(work));
    await kafka.run(log.append(topic, [record('a', 5)]));
    await kafka.until(() => reads.some(({ settled }) => settled), 10_000);
    expect(valuesOf(reads[5]?.value)).toEqual(['a']);
    await kafka.clock.advance(2_000);
    expect(states(heard).at(-1)).toMatchObject({ ok: true });
  });
});
