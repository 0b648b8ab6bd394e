/** Reports and recovery of instances whose topic an operator deletes. */
import { defaultMaxListeners, getEventListeners } from 'node:events';
import type { Notice } from '../../src/base/notices';
import type { Topic } from '../../src/ports/log';
import { FakeBench, Holder, max, never, record, valuesOf } from '../support/fake-kafka-log';

let bench: FakeBench;
beforeEach(() => (bench = new FakeBench()));
afterEach(() => bench.close());

const states = (heard: readonly Notice[]) => heard.filter((notice) => notice.type === 'state');
const createsWork = 'kafka-topics.sh --create --topic a.b.work --partitions 12 --replication-factor 3';

/** Opens a member that reads all partitions, and deletes the topic. */
async function openAndDelete() {
  const one = await bench.open(12);
  const holder = new Holder();
  await bench.run(one.log.join('g', one.topic, holder));
  const reads = [...holder.owned.values()].map((owned) => bench.watch(owned.read(0, max, never)));
  bench.cluster.topics.delete(one.topic);
  return { ...one, holder, reads };
}

describe('a deleted topic', () => {
  it('fails appends within seconds with an error that has the command to create it', async () => {
    const { log, topic } = await openAndDelete();
    const beganMs = bench.clock.mono();
    const batched = bench.watch(log.append(topic, [record('a', 2)]));
    await bench.clock.advance(1_000);
    const queued = bench.watch(log.append(topic, [record('b', 2), record('c', 3)]));
    await bench.until(() => batched.settled && queued.settled);
    expect(bench.clock.mono() - beganMs).toBeLessThan(7_000);
    const afterwards = await bench.refusal(log.append(topic, [record('d', 2)]), 1_000);
    for (const error of [batched.error, queued.error, afterwards]) {
      expect(error).toMatchObject({ code: 'Unreachable', message: expect.stringContaining(createsWork) });
      expect(String(error)).toContain('topic a.b.work does not exist');
    }
  });

  it('rejects a partly written append with an unknown outcome, which is not retryable', async () => {
    const { topic } = await bench.open(2);
    bench.cluster.lead(topic, 1, null);
    const { log } = bench.process('two');
    const both = bench.watch(log.append(topic, [record('a', 0), record('b', 1)]));
    await bench.until(() => bench.cluster.values(topic, 0).length > 0);
    bench.cluster.topics.delete(topic);
    await bench.until(() => both.settled);
    expect(both.error).toMatchObject({ code: 'Unreachable', details: { outcome: 'unknown' }, retryable: false });
  });

  it('is reported in one state notice, however many partitions were read', async () => {
    const { heard } = await openAndDelete();
    await bench.clock.advance(20_000);
    expect(states(heard)).toMatchObject([{ ok: false, reason: expect.stringContaining(createsWork) }]);
  });

  it('adds fewer abort listeners to a signal than Node.js warns about', async () => {
    const spy = jest.spyOn(AbortSignal.prototype, 'addEventListener');
    await openAndDelete();
    const listeners: number[] = [];
    for (let n = 0; n < 100; n++) {
      await bench.clock.advance(50);
      const signals = new Set(spy.mock.contexts as AbortSignal[]); // Jest does not type the contexts
      for (const signal of signals) listeners.push(getEventListeners(signal, 'abort').length);
    }
    spy.mockRestore();
    expect(Math.max(...listeners)).toBeLessThanOrEqual(defaultMaxListeners);
  });

  it('is written and read from its start after it is created again', async () => {
    const { log, topic, reads, heard } = await openAndDelete();
    await bench.clock.advance(10_000);
    const work: Topic = { name: topic, partitions: 12, compacted: false, keepMs: null };
    await bench.run(bench.process('two').log.ensure(work));
    await bench.run(log.append(topic, [record('a', 5)]));
    await bench.until(() => reads.some(({ settled }) => settled), 10_000);
    expect(valuesOf(reads[5]?.value)).toEqual(['a']);
    await bench.clock.advance(2_000);
    expect(states(heard).at(-1)).toMatchObject({ ok: true });
  });
});
