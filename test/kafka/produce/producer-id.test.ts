import { isBusError } from '../../../src/base/errors';
import { nextEpoch, ProducerId, written } from '../../../src/kafka/produce/producer-id';
import type { Batch, ProducerState } from '../../../src/kafka/protocol/types';
import { FakeBench, record } from '../../support/fake-kafka-log';

let bench: FakeBench;
beforeEach(() => {
  bench = new FakeBench();
  bench.cluster.producerExpiryMs = 120_000;
});
afterEach(() => bench.close());

/** Returns the producer state of the first batch of each Produce request. */
const states = (): (ProducerState | undefined)[] =>
  bench.cluster.asked('produce').map(({ args: [batches] }) => (batches as Batch[])[0]?.producer);

describe('a producer id', () => {
  it('is requested once, before the first batch of the process', async () => {
    const { log, topic } = await bench.open(3);
    for (const partition of [0, 1, 2]) await bench.run(log.append(topic, [record('a', partition)]));
    await bench.run(log.append(topic, [record('b'), record('c')]));
    await bench.run(log.append(topic, [record('d')]));
    expect(bench.cluster.asked('initProducerId')).toHaveLength(1);
    expect(states().map((state) => state?.sequence)).toEqual([0, 0, 0, 1, 3]);
    expect(new Set(states().map((state) => state?.id)).size).toBe(1);
  });

  it('is requested again until a broker answers, while appends wait until their deadline', async () => {
    const { topic } = await bench.open();
    const { log } = bench.process('two', { appendMs: 5_000 });
    bench.cluster.script = ({ name }) => (name === 'initProducerId' ? { error: 'CONNECTION' } : undefined);
    const late = bench.watch(log.append(topic, [record('late')]));
    await bench.until(() => late.settled, 10_000);
    expect(isBusError(late.error, 'Unreachable')).toBe(true);
    expect(String(late.error)).toContain('by script');
    const waiting = bench.watch(log.append(topic, [record('waiting')]));
    await bench.clock.advance(1_000);
    bench.cluster.script = undefined;
    await bench.until(() => waiting.settled, 3_000);
    expect([waiting.error, bench.cluster.values(topic)]).toEqual([undefined, ['waiting']]);
  });

  it('is rejected with NotAllowed immediately without the right, and requested again by the next append', async () => {
    const { topic } = await bench.open();
    const { log } = bench.process('two');
    const denied = { error: 'CLUSTER_AUTHORIZATION_FAILED' };
    bench.cluster.script = ({ name }) => (name === 'initProducerId' ? denied : undefined);
    const error = await bench.refusal(log.append(topic, [record('a')]), 1_000);
    expect(isBusError(error, 'NotAllowed')).toBe(true);
    bench.cluster.script = undefined;
    await bench.run(log.append(topic, [record('b')]), 1_000);
    expect(bench.cluster.values(topic)).toEqual(['b']);
  });

  it('is replaced by a new one when a partition has used up its epochs', async () => {
    let ready = 0;
    const closing = new AbortController().signal;
    const id = new ProducerId({ metadata: bench.view('p'), ready: () => ready++, refused: () => undefined, closing });
    expect(id.stateFor(undefined)).toBeUndefined();
    await bench.until(() => ready === 1);
    const first = id.stateFor(undefined);
    const last = { id: first?.id ?? -1, epoch: 32_767, sequence: 5 };
    expect(id.stateFor(last)).toBe(last);
    expect(id.stateFor(nextEpoch(last))).toBeUndefined();
    await bench.until(() => ready === 2);
    expect(id.stateFor(nextEpoch(last))).toEqual({ id: last.id + 1, epoch: 0, sequence: 0 });
  });

  it('counts records up to 2^31 - 1, and then from 0', () => {
    expect(written({ id: 1, epoch: 2, sequence: 5 }, 3)).toEqual({ id: 1, epoch: 2, sequence: 8 });
    expect(written({ id: 1, epoch: 2, sequence: 2 ** 31 - 2 }, 3)).toEqual({ id: 1, epoch: 2, sequence: 1 });
  });
});

describe('a copy of a batch', () => {
  it('is not written when it arrives after later batches', async () => {
    const { log, topic } = await bench.open();
    bench.faults('produce', { delayMs: 20_000 }, 'lost'); // 15,000 ms is the deadline of one request
    const first = bench.watch(log.append(topic, [record('a')]));
    await bench.until(() => bench.cluster.values(topic).length === 1, 20_000);
    await bench.run(log.append(topic, [record('b')]), 40_000);
    await bench.run(log.append(topic, [record('c')]));
    await bench.clock.advance(30_000);
    expect([first.error, bench.cluster.values(topic)]).toEqual([undefined, ['a', 'b', 'c']]);
  });

  it('is not written after the producer has dropped the batch and written a later one', async () => {
    const { log, topic } = await bench.open(1, {}, { appendMs: 5_000, unknownMs: 10_000 });
    bench.faults('produce', { delayMs: 40_000 });
    const first = bench.watch(log.append(topic, [record('a')]));
    await bench.clock.advance(14_000);
    await bench.run(log.append(topic, [record('b')]));
    await bench.clock.advance(60_000);
    expect([isBusError(first.error, 'Unreachable'), bench.cluster.values(topic)]).toEqual([true, ['b']]);
  });

  it('is recognized by a new leader', async () => {
    const { log, topic } = await bench.open();
    bench.faults('produce', 'lost');
    const first = bench.watch(log.append(topic, [record('a')]));
    await bench.clock.advance(100);
    bench.cluster.moveFrom(1);
    await bench.until(() => first.settled);
    expect([first.error, bench.cluster.values(topic)]).toEqual([undefined, ['a']]);
  });

  it('is not sent after the producer id has expired while the machine was suspended', async () => {
    const { topic } = await bench.open();
    let suspendedMs = 0;
    const clock = { ...bench.clock, now: () => bench.clock.now() + suspendedMs };
    const { log, heard } = bench.process('two', { clock });
    bench.faults('produce', 'lost');
    const first = bench.watch(log.append(topic, [record('a')]));
    await bench.clock.advance(100);
    suspendedMs = 24 * 3_600_000;
    await bench.until(() => first.settled);
    expect(isBusError(first.error, 'Unreachable')).toBe(true);
    expect(heard.filter(({ type }) => type === 'dropped')).toHaveLength(1);
    expect(bench.cluster.values(topic)).toEqual(['a']);
  });
});

describe('a new batch', () => {
  it('is written after a batch of the same size was rejected', async () => {
    const { log, topic } = await bench.open();
    bench.cluster.refuse = ({ records }) => {
      const isBad = records.some(({ value }) => Buffer.from(value ?? []).toString() === 'bad');
      return isBad ? { error: 'INVALID_RECORD' } : undefined;
    };
    await bench.run(log.append(topic, [record('a')]));
    await bench.refusal(log.append(topic, [record('bad')]));
    await bench.run(log.append(topic, [record('b')]));
    const [before, refused, after] = states();
    expect(after).toEqual({ id: before?.id, epoch: (refused?.epoch ?? 0) + 1, sequence: 0 });
    expect(bench.cluster.values(topic)).toEqual(['a', 'b']);
  });

  it('is written after the log has lost acknowledged records', async () => {
    const { log, topic } = await bench.open();
    for (const value of ['a', 'b', 'c']) await bench.run(log.append(topic, [record(value)]));
    const partition = bench.cluster.partition({ topic, partition: 0 });
    partition.records.splice(1);
    partition.end = 1;
    await bench.run(log.append(topic, [record('d')]));
    await bench.run(log.append(topic, [record('e')]));
    expect(bench.cluster.values(topic)).toEqual(['a', 'd', 'e']);
  });

  it('is written after the producer id has expired at the broker', async () => {
    const { log, topic } = await bench.open();
    await bench.run(log.append(topic, [record('a')]));
    await bench.clock.advance(bench.cluster.producerExpiryMs + 1);
    await bench.run(log.append(topic, [record('b')]));
    expect(bench.cluster.values(topic)).toEqual(['a', 'b']);
  });
});
