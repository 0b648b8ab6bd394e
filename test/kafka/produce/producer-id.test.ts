import { isBusError } from '../../../src/base/errors';
import { nextEpoch, ProducerId, written } from '../../../src/kafka/produce/producer-id';
import type { Batch, ProducerState } from '../../../src/kafka/protocol/types';
import { FakeKafka, record } from '../../support/fake-kafka-log';

let kafka: FakeKafka;
beforeEach(() => {
  kafka = new FakeKafka();
  kafka.cluster.producerExpiryMs = 120_000;
});
afterEach(() => kafka.close());

/** Returns the producer state of the first batch of each Produce request. */
const states = (): (ProducerState | undefined)[] =>
  kafka.cluster.asked('produce').map(({ args: [batches] }) => (batches as Batch[])[0]?.producer);

describe('a producer id', () => {
  it('is requested once, before the first batch of the process', async () => {
    const { log, topic } = await kafka.open(3);
    for (const partition of [0, 1, 2]) await kafka.run(log.append(topic, [record('a', partition)]));
    await kafka.run(log.append(topic, [record('b'), record('c')]));
    await kafka.run(log.append(topic, [record('d')]));
    expect(kafka.cluster.asked('initProducerId')).toHaveLength(1);
    expect(states().map((state) => state?.sequence)).toEqual([0, 0, 0, 1, 3]);
    expect(new Set(states().map((state) => state?.id)).size).toBe(1);
  });

  it('is requested again until a broker answers, while appends wait until their deadline', async () => {
    const { topic } = await kafka.open();
    const { log } = kafka.process('two', { appendMs: 5_000 });
    kafka.cluster.script = ({ name }) => (name === 'initProducerId' ? { error: 'CONNECTION' } : undefined);
    const late = kafka.watch(log.append(topic, [record('late')]));
    await kafka.until(() => late.settled, 10_000);
    expect(isBusError(late.error, 'Unreachable')).toBe(true);
    expect(String(late.error)).toContain('by script');
    const waiting = kafka.watch(log.append(topic, [record('waiting')]));
    await kafka.clock.advance(1_000);
    kafka.cluster.script = undefined;
    await kafka.until(() => waiting.settled, 3_000);
    expect([waiting.error, kafka.cluster.values(topic)]).toEqual([undefined, ['waiting']]);
  });

  it('is rejected with NotAllowed immediately without the right, and requested again by the next append', async () => {
    const { topic } = await kafka.open();
    const { log } = kafka.process('two');
    const denied = { error: 'CLUSTER_AUTHORIZATION_FAILED' };
    kafka.cluster.script = ({ name }) => (name === 'initProducerId' ? denied : undefined);
    const error = await kafka.refusal(log.append(topic, [record('a')]), 1_000);
    expect(isBusError(error, 'NotAllowed')).toBe(true);
    kafka.cluster.script = undefined;
    await kafka.run(log.append(topic, [record('b')]), 1_000);
    expect(kafka.cluster.values(topic)).toEqual(['b']);
  });

  it('is replaced by a new one when a partition has used up its epochs', async () => {
    let ready = 0;
    const closing = new AbortController().signal;
    const id = new ProducerId({ metadata: kafka.view('p'), ready: () => ready++, refused: () => undefined, closing });
    expect(id.stateFor(undefined)).toBeUndefined();
    await kafka.until(() => ready === 1);
    const first = id.stateFor(undefined);
    const last = { id: first?.id ?? -1, epoch: 32_767, sequence: 5 };
    expect(id.stateFor(last)).toBe(last);
    expect(id.stateFor(nextEpoch(last))).toBeUndefined();
    await kafka.until(() => ready === 2);
    expect(id.stateFor(nextEpoch(last))).toEqual({ id: last.id + 1, epoch: 0, sequence: 0 });
  });

  it('counts records up to 2^31 - 1, and then from 0', () => {
    expect(written({ id: 1, epoch: 2, sequence: 5 }, 3)).toEqual({ id: 1, epoch: 2, sequence: 8 });
    expect(written({ id: 1, epoch: 2, sequence: 2 ** 31 - 2 }, 3)).toEqual({ id: 1, epoch: 2, sequence: 1 });
  });
});

describe('a copy of a batch', () => {
  it('is not written when it arrives after later batches', async () => {
    const { log, topic } = await kafka.open();
    kafka.faults('produce', { delayMs: 20_000 }, 'lost'); // 15,000 ms is the deadline of one request
    const first = kafka.watch(log.append(topic, [record('a')]));
    await kafka.until(() => kafka.cluster.values(topic).length === 1, 20_000);
    await kafka.run(log.append(topic, [record('b')]), 40_000);
    await kafka.run(log.append(topic, [record('c')]));
    await kafka.clock.advance(30_000);
    expect([first.error, kafka.cluster.values(topic)]).toEqual([undefined, ['a', 'b', 'c']]);
  });

  it('is not written after the producer has dropped the batch and written a later one', async () => {
    const { log, topic } = await kafka.open(1, {}, { appendMs: 5_000, unknownMs: 10_000 });
    kafka.faults('produce', { delayMs: 40_000 });
    const first = kafka.watch(log.append(topic, [record('a')]));
    await kafka.clock.advance(14_000);
    await kafka.run(log.append(topic, [record('b')]));
    await kafka.clock.advance(60_000);
    expect([isBusError(first.error, 'Unreachable'), kafka.cluster.values(topic)]).toEqual([true, ['b']]);
  });

  it('is recognized by a new leader', async () => {
    const { log, topic } = await kafka.open();
    kafka.faults('produce', 'lost');
    const first = kafka.watch(log.append(topic, [record('a')]));
    await kafka.clock.advance(100);
    kafka.cluster.moveFrom(1);
    await kafka.until(() => first.settled);
    expect([first.error, kafka.cluster.values(topic)]).toEqual([undefined, ['a']]);
  });

  it('is not sent after the producer id has expired while the machine was suspended', async () => {
    const { topic } = await kafka.open();
    let suspendedMs = 0;
    const clock = { ...kafka.clock, now: () => kafka.clock.now() + suspendedMs };
    const { log, heard } = kafka.process('two', { clock });
    kafka.faults('produce', 'lost');
    const first = kafka.watch(log.append(topic, [record('a')]));
    await kafka.clock.advance(100);
    suspendedMs = 24 * 3_600_000;
    await kafka.until(() => first.settled);
    expect(isBusError(first.error, 'Unreachable')).toBe(true);
    expect(heard.filter(({ type }) => type === 'dropped')).toHaveLength(1);
    expect(kafka.cluster.values(topic)).toEqual(['a']);
  });
});

describe('a new batch', () => {
  it('is written after a batch of the same size was rejected', async () => {
    const { log, topic } = await kafka.open();
    kafka.cluster.refuse = ({ records }) => {
      const isBad = records.some(({ value }) => Buffer.from(value ?? []).toString() === 'bad');
      return isBad ? { error: 'INVALID_RECORD' } : undefined;
    };
    await kafka.run(log.append(topic, [record('a')]));
    await kafka.refusal(log.append(topic, [record('bad')]));
    await kafka.run(log.append(topic, [record('b')]));
    const [before, refused, after] = states();
    expect(after).toEqual({ id: before?.id, epoch: (refused?.epoch ?? 0) + 1, sequence: 0 });
    expect(kafka.cluster.values(topic)).toEqual(['a', 'b']);
  });

  it('is written after the log has lost acknowledged records', async () => {
    const { log, topic } = await kafka.open();
    for (const value of ['a', 'b', 'c']) await kafka.run(log.append(topic, [record(value)]));
    const partition = kafka.cluster.partition({ topic, partition: 0 });
    partition.records.splice(1);
    partition.end = 1;
    await kafka.run(log.append(topic, [record('d')]));
    await kafka.run(log.append(topic, [record('e')]));
    expect(kafka.cluster.values(topic)).toEqual(['a', 'd', 'e']);
  });

  it('is written after the producer id has expired at the broker', async () => {
    const { log, topic } = await kafka.open();
    await kafka.run(log.append(topic, [record('a')]));
    await kafka.clock.advance(kafka.cluster.producerExpiryMs + 1);
    await kafka.run(log.append(topic, [record('b')]));
    expect(kafka.cluster.values(topic)).toEqual(['a', 'b']);
  });
});
