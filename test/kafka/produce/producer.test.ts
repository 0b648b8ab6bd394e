import { isBusError } from '../../../src/base/errors';
import { PendingAppends, type Item } from '../../../src/kafka/produce/pending-appends';
import type { Batch } from '../../../src/kafka/protocol/types';
import { PartialAppendError } from '../../../src/ports/log';
import { FakeKafka, record, valuesOf } from '../../support/fake-kafka-log';

let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

/** Returns the values of each batch of each Produce request, in the order of the requests. */
const produced = (): string[][][] =>
  kafka.cluster.asked('produce').map(({ args: [batches] }) => {
    return (batches as Batch[]).map(({ records }) => records.map(({ value }) => Buffer.from(value ?? []).toString()));
  });

describe('the producer', () => {
  it('sends appends of one turn in one request to each leader', async () => {
    const { log, topic } = await kafka.open(6);
    await kafka.run(Promise.all(Array.from({ length: 60 }, (_, n) => log.append(topic, [record(`${n}`, n % 6)]))));
    const asked = kafka.cluster.asked('produce');
    expect(asked.map(({ node }) => node).toSorted((a, b) => a - b)).toEqual([1, 2, 3]);
    expect(kafka.cluster.values(topic, 1)).toEqual(Array.from({ length: 10 }, (_, n) => `${n * 6 + 1}`));
  });

  it('sends records as they were at the call, without a copy of those that are immutable', async () => {
    const { log, topic } = await kafka.open();
    const [changing, immutable] = [record('before'), record('kept')];
    const first = log.append(topic, [changing]);
    changing.value?.set(Buffer.from('after!'));
    await kafka.run(Promise.all([first, log.append(topic, [immutable], { isImmutable: true })]));
    expect(kafka.cluster.values(topic)).toEqual(['before', 'kept']);
    const sent = kafka.cluster.asked('produce').flatMap(({ args: [batches] }) => batches as Batch[]);
    expect(sent.flatMap(({ records }) => records)).toContain(immutable);
  });

  it('has one batch per partition in flight, and collects later records for the next batch', async () => {
    const { log, topic } = await kafka.open();
    const all = ['a', 'b', 'c', 'd'].map(async (value, n) => {
      if (n > 0) await new Promise<void>((go) => kafka.clock.after(0.1 * n, go));
      return log.append(topic, [record(value)]);
    });
    const places = await kafka.run(Promise.all(all));
    expect(produced()).toEqual([[['a']], [['b', 'c', 'd']]]);
    expect(places.flat().map(({ offset }) => offset)).toEqual([0, 1, 2, 3]);
  });

  it.each([
    ['was written but not answered', 'lost'],
    ['never arrived', 'never'],
    ['was written before the connection broke', { error: 'CONNECTION', done: true }],
    ['is not named in the answer', { error: 'UNVERIFIED' }],
    ['had an answer that cannot be read', { error: 'UNDECODABLE', done: true }],
  ] as const)('resends the same batch before any later one when the first %s', async (_, fault) => {
    const { log, topic } = await kafka.open();
    kafka.faults('produce', fault);
    const first = log.append(topic, [record('a'), record('b')]);
    await kafka.clock.advance(0.5);
    const second = log.append(topic, [record('c')]);
    expect((await kafka.run(Promise.all([first, second]))).flat()).toHaveLength(3);
    expect(produced()).toEqual([[['a', 'b']], [['a', 'b']], [['c']]]);
    expect(kafka.cluster.values(topic)).toEqual(['a', 'b', 'c']);
  });

  it('resolves with the offset of the first copy when it resends a written batch', async () => {
    const { log, topic } = await kafka.open();
    await kafka.run(log.append(topic, [record('before')]));
    kafka.faults('produce', 'lost');
    const [place] = await kafka.run(log.append(topic, [record('a')]));
    expect(kafka.cluster.values(topic)).toEqual(['before', 'a']);
    expect(place).toEqual({ partition: 0, offset: 1 });
  });

  it('retries while in-sync replicas are missing, and finds the new leader when it has moved', async () => {
    const { log, topic } = await kafka.open();
    kafka.cluster.refuse = (batch) =>
      kafka.cluster.asked('produce').length < 3 && batch ? { error: 'NOT_ENOUGH_REPLICAS' } : undefined;
    await kafka.run(log.append(topic, [record('a')]));
    kafka.cluster.lead(topic, 0, 2);
    await kafka.run(log.append(topic, [record('b')]));
    expect(kafka.cluster.values(topic)).toEqual(['a', 'b']);
    expect(kafka.cluster.asked('produce').at(-1)?.node).toBe(2);
  });

  it('sends to the new leader long before the request to the frozen one times out', async () => {
    const { log, topic } = await kafka.open();
    kafka.cluster.freeze(1);
    const sent = kafka.watch(log.append(topic, [record('a')]));
    await kafka.clock.advance(3_000);
    expect(sent.settled).toBe(false);
    kafka.cluster.moveFrom(1);
    await kafka.clock.advance(2_500);
    expect(sent).toMatchObject({ settled: true, error: undefined });
    expect(kafka.cluster.values(topic)).toEqual(['a']);
  });

  it('sends nothing to a new leader while a request to the old one is open', async () => {
    const { log, topic } = await kafka.open(4);
    kafka.faults('produce', { delayMs: 600 });
    const first = kafka.watch(log.append(topic, [record('a', 0)]));
    await kafka.clock.advance(10);
    for (const partition of [0, 1]) kafka.cluster.lead(topic, partition, 3);
    await kafka.run(log.append(topic, [record('x', 1)])); // refreshes the metadata
    const second = kafka.watch(log.append(topic, [record('b', 0)]));
    await kafka.clock.advance(300);
    expect([first.settled, second.settled, kafka.cluster.values(topic, 0)]).toEqual([false, false, []]);
    await kafka.until(() => first.settled && second.settled);
    expect(kafka.cluster.values(topic, 0)).toEqual(['a', 'b']);
  });

  it('sends to every partition without a leader once leaders are elected, whenever each was queued', async () => {
    const { topic } = await kafka.open(3);
    const metadata = kafka.view('two');
    const { log } = kafka.process('two', { metadata });
    await kafka.run(log.append(topic, [record('x', 2)]));
    for (const partition of [0, 1]) kafka.cluster.lead(topic, partition, null);
    await kafka.run(metadata.refresh());
    kafka.cluster.lead(topic, 2, 1); // a change, so that the next metadata refresh is not delayed
    const first = kafka.watch(log.append(topic, [record('a', 0)]));
    await kafka.clock.advance(4);
    const second = kafka.watch(log.append(topic, [record('b', 1)]));
    await kafka.clock.advance(1);
    for (const partition of [0, 1]) kafka.cluster.lead(topic, partition, 2);
    await kafka.run(metadata.refresh());
    await kafka.until(() => first.settled && second.settled, 1_000);
    expect([0, 1].map((partition) => kafka.cluster.values(topic, partition))).toEqual([['a'], ['b']]);
  });

  it('sends batches that waited behind a request to a frozen leader to the new one', async () => {
    const { log, topic } = await kafka.open(4);
    kafka.cluster.freeze(1);
    const first = kafka.watch(log.append(topic, [record('a', 0)]));
    await kafka.clock.advance(0.5);
    const behind = kafka.watch(log.append(topic, [record('b', 3)]));
    await kafka.clock.advance(2_000);
    kafka.cluster.moveFrom(1);
    await kafka.until(() => first.settled && behind.settled, 3_000);
    expect([kafka.cluster.values(topic, 0), kafka.cluster.values(topic, 3)]).toEqual([['a'], ['b']]);
  });

  it('sends a batch behind a slow request immediately when refreshed metadata names another leader', async () => {
    const { topic } = await kafka.open(4);
    const metadata = kafka.view('two');
    const { log } = kafka.process('two', { metadata });
    await kafka.run(log.append(topic, [record('x', 0), record('x', 3)]));
    const sentTo: number[] = [];
    let isFirst = true;
    kafka.cluster.script = ({ name, node }) => {
      if (name !== 'produce') return undefined;
      sentTo.push(node);
      const slow = isFirst ? { delayMs: 400 } : undefined;
      isFirst = false;
      return slow;
    };
    const first = kafka.watch(log.append(topic, [record('a', 0)]));
    await kafka.clock.advance(10);
    const behind = kafka.watch(log.append(topic, [record('b', 3)]));
    await kafka.clock.advance(10);
    kafka.cluster.lead(topic, 3, 2);
    await kafka.run(metadata.refresh());
    await kafka.until(() => behind.settled, 20);
    expect([first.settled, sentTo]).toEqual([false, [1, 2]]);
    await kafka.until(() => first.settled, 1_000);
  });

  it('halves a batch to find the too large record, and rejects only that one', async () => {
    const { log, topic } = await kafka.open();
    kafka.cluster.topics.get(topic)!.configs['max.message.bytes'] = '1000';
    const large = 'x'.repeat(2_000);
    const all = ['a', 'b', large, 'c', 'd'].map((value) => kafka.watch(log.append(topic, [record(value)])));
    await kafka.until(() => all.every(({ settled }) => settled));
    expect(all.map(({ error }) => isBusError(error, 'TooLarge'))).toEqual([false, false, true, false, false]);
    expect(kafka.cluster.values(topic)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('never writes a record of a halved batch after an earlier one of its call was given up', async () => {
    const { log, topic } = await kafka.open();
    kafka.cluster.refuse = ({ records }) => {
      const isBad = records.length > 1 || Buffer.from(records[0]?.value ?? []).toString() === 'a';
      return isBad ? { error: 'RECORD_LIST_TOO_LARGE' } : undefined;
    };
    kafka.faults('produce', undefined, { error: 'CONNECTION' }); // so it is unknown whether 'a' was written
    const error = await kafka.refusal(log.append(topic, [record('a'), record('b')]));
    expect(error).toMatchObject({ code: 'Unreachable', details: { outcome: 'unknown' } });
    kafka.cluster.refuse = undefined;
    await kafka.run(log.append(topic, [record('c')]));
    expect(kafka.cluster.values(topic)).toEqual(['c']);
  });

  it('writes no half of a batch after the deadline of its call', async () => {
    const { log, topic } = await kafka.open();
    kafka.cluster.refuse = ({ records }) => ({
      error: records.length > 1 ? 'RECORD_LIST_TOO_LARGE' : 'NOT_ENOUGH_REPLICAS',
    });
    const error = await kafka.refusal(log.append(topic, [record('a'), record('b')]));
    expect(error).toMatchObject({ code: 'Unreachable', details: { outcome: 'not-sent' } });
    kafka.cluster.refuse = undefined;
    await kafka.run(log.append(topic, [record('c')]));
    expect(kafka.cluster.values(topic)).toEqual(['c']);
  });

  it('rejects a call with the index of each rejected record, and writes the others', async () => {
    const { log, topic } = await kafka.open(2);
    kafka.cluster.topics.get(topic)!.configs['max.message.bytes'] = '1000';
    const large = 'x'.repeat(2_000);
    const records = [record('a', 0), record(large, 1), record('b', 1), record('c', 0)];
    const error = await kafka.refusal(log.append(topic, records));
    if (!(error instanceof PartialAppendError)) throw error;
    expect(error).toMatchObject({ name: 'BusError', code: 'TooLarge' });
    expect(error.message).toContain('1 of 4 records were not appended, the others are in the log');
    expect([...error.failed.keys()]).toEqual([1]);
    const place = (partition: number, offset: number) => expect.objectContaining({ partition, offset });
    expect(error.places).toEqual([place(0, 0), undefined, place(1, 0), place(0, 1)]);
    expect([kafka.cluster.values(topic, 0), kafka.cluster.values(topic, 1)]).toEqual([['a', 'c'], ['b']]);
  });

  it('reports a record as of unknown outcome when it is rejected after a lost answer', async () => {
    const { log, topic } = await kafka.open();
    kafka.faults('produce', 'lost');
    const [small, large] = ['a', 'x'.repeat(2_000)].map((value) => kafka.watch(log.append(topic, [record(value)])));
    await kafka.clock.advance(5); // the batch was written, and its answer is lost
    kafka.cluster.topics.get(topic)!.configs['max.message.bytes'] = '1000';
    await kafka.until(() => small!.settled && large!.settled, 30_000);
    for (const { error } of [small!, large!]) {
      expect(isBusError(error, 'Unreachable')).toBe(true);
      expect(String(error)).toContain('so it can have been written or not');
    }
    await kafka.run(log.append(topic, [record('b')]));
    expect(kafka.cluster.values(topic)).toEqual(['a', 'x'.repeat(2_000), 'b']);
  });

  it('halves a batch to find the invalid record when the broker does not name it', async () => {
    const { log, topic } = await kafka.open();
    kafka.cluster.refuse = ({ records }) => {
      const isThere = records.some(({ value }) => Buffer.from(value ?? []).toString() === 'bad');
      return isThere ? { error: 'INVALID_RECORD', refused: [{ index: 99, reason: 'it is bad' }] } : undefined;
    };
    const all = ['a', 'bad', 'b'].map((value) => kafka.watch(log.append(topic, [record(value)])));
    await kafka.until(() => all.every(({ settled }) => settled), 1_000);
    expect(all.map(({ error }) => isBusError(error, 'Config'))).toEqual([false, true, false]);
    expect(kafka.cluster.values(topic)).toEqual(['a', 'b']);
  });

  it('rejects the records that the broker names, and keeps the order of the others', async () => {
    const { log, topic } = await kafka.open();
    kafka.cluster.refuse = ({ records }) => {
      const index = records.findIndex(({ value }) => Buffer.from(value ?? []).toString() === 'bad');
      return index < 0 ? undefined : { error: 'INVALID_RECORD', refused: [{ index, reason: 'it is bad' }] };
    };
    const all = ['a', 'bad', 'b', 'bad', 'c'].map((value) => kafka.watch(log.append(topic, [record(value)])));
    await kafka.until(() => all.every(({ settled }) => settled));
    expect(all.map(({ error }) => isBusError(error, 'Config'))).toEqual([false, true, false, true, false]);
    expect(String(all[1]?.error)).toContain('it is bad');
    expect(kafka.cluster.values(topic)).toEqual(['a', 'b', 'c']);
  });

  it('rejects with NotAllowed immediately when the right to write is missing', async () => {
    const { log, topic } = await kafka.open();
    kafka.cluster.refuse = () => ({ error: 'TOPIC_AUTHORIZATION_FAILED' });
    const error = await kafka.refusal(log.append(topic, [record('a')]), 1_000);
    expect(isBusError(error, 'NotAllowed')).toBe(true);
  });

  it('rejects with an unknown outcome at the deadline, but keeps the batch queued', async () => {
    const { log, topic } = await kafka.open(1, {}, { appendMs: 5_000 });
    kafka.cluster.freeze(1);
    const first = kafka.watch(log.append(topic, [record('a')]));
    await kafka.clock.advance(4_000);
    const second = kafka.watch(log.append(topic, [record('b')]));
    await kafka.clock.advance(2_500);
    expect(first.error).toMatchObject({ code: 'Unreachable', details: { outcome: 'unknown' } });
    expect(second.settled).toBe(false);
    kafka.cluster.thaw(1);
    await kafka.until(() => second.settled);
    expect(kafka.cluster.values(topic)).toEqual(['a', 'b']);
  });

  it('does not send a record whose append was rejected before the first attempt', async () => {
    const { topic } = await kafka.open();
    kafka.cluster.lead(topic, 0, null);
    const { log } = kafka.process('two', { appendMs: 2_000 });
    const late = kafka.watch(log.append(topic, [record('late')]));
    await kafka.until(() => late.settled);
    expect(late.error).toMatchObject({ code: 'Unreachable', details: { outcome: 'not-sent' }, retryable: true });
    kafka.cluster.lead(topic, 0, 2);
    await kafka.run(log.append(topic, [record('new')]));
    expect(kafka.cluster.values(topic)).toEqual(['new']);
  });

  it('rejects with an unknown outcome when only some records of the call are written', async () => {
    const { topic } = await kafka.open(2);
    kafka.cluster.lead(topic, 1, null);
    const { log } = kafka.process('two', { appendMs: 2_000 });
    const both = kafka.watch(log.append(topic, [record('a', 0), record('b', 1)]));
    await kafka.until(() => both.settled);
    expect(both.error).toMatchObject({ code: 'Unreachable', details: { outcome: 'unknown' }, retryable: false });
    expect(kafka.cluster.values(topic, 0)).toEqual(['a']);
  });

  it('drops a batch of unknown outcome with a notice before it sends the next one', async () => {
    const { log, topic, heard } = await kafka.open(1, {}, { appendMs: 5_000, unknownMs: 60_000 });
    kafka.cluster.script = ({ name }) => (name === 'produce' ? 'never' : undefined);
    const first = kafka.watch(log.append(topic, [record('a')]));
    await kafka.clock.advance(50_000);
    const second = kafka.watch(log.append(topic, [record('b')]));
    await kafka.until(() => heard.some(({ type }) => type === 'dropped'), 100_000);
    kafka.cluster.script = undefined;
    await kafka.until(() => second.settled);
    expect([isBusError(first.error, 'Unreachable'), kafka.cluster.values(topic).includes('a')]).toEqual([true, false]);
  });

  it('rejects with Overloaded at its memory bound, and accepts records when there is room', async () => {
    const { log, topic } = await kafka.open();
    kafka.cluster.freeze(1);
    const megabyte = 'x'.repeat(1_000_000);
    const first = kafka.watch(Promise.all(Array.from({ length: 67 }, () => log.append(topic, [record(megabyte)]))));
    const error = await kafka.refusal(log.append(topic, [record(megabyte)]), 10);
    expect(isBusError(error, 'Overloaded')).toBe(true);
    kafka.cluster.thaw(1);
    await kafka.until(() => first.settled);
    await kafka.run(log.append(topic, [record('fits')]));
    expect(kafka.cluster.partition({ topic, partition: 0 }).end).toBe(68);
  });

  it('releases the memory of appends that reached their deadline', async () => {
    const { topic } = await kafka.open();
    kafka.cluster.lead(topic, 0, null);
    const { log } = kafka.process('two', { appendMs: 2_000 });
    const megabyte = 'x'.repeat(1_000_000);
    const first = kafka.watch(Promise.all(Array.from({ length: 67 }, () => log.append(topic, [record(megabyte)]))));
    await kafka.until(() => first.settled);
    await kafka.clock.advance(1_000);
    const error = await kafka.refusal(log.append(topic, [record(megabyte)]));
    expect(isBusError(error, 'Unreachable')).toBe(true);
  });

  it('closes immediately when idle, and otherwise rejects open appends with Unreachable within seconds', async () => {
    const { log, topic } = await kafka.open();
    await kafka.run(log.append(topic, [record('a')]));
    kafka.cluster.freeze(1);
    const stuck = kafka.watch(log.append(topic, [record('b')]));
    await kafka.clock.advance(100);
    const beganMs = kafka.clock.mono();
    await kafka.run(log.close());
    expect(kafka.clock.mono() - beganMs).toBeLessThan(2_100);
    expect(isBusError(stuck.error, 'Unreachable')).toBe(true);
    const idle = kafka.process('idle');
    const idleMs = kafka.clock.mono();
    await kafka.run(idle.log.close());
    expect(kafka.clock.mono()).toBe(idleMs);
  });

  it('sends nothing after close of a retried batch that was reported as not sent', async () => {
    const { log, topic } = await kafka.open(4);
    kafka.faults('produce', { delayMs: 10 });
    kafka.cluster.refuse = ({ partition }) => (partition === 3 ? { error: 'NOT_ENOUGH_REPLICAS' } : undefined);
    const retried = kafka.watch(log.append(topic, [record('b', 3)]));
    await kafka.clock.advance(13); // the batch was rejected and pauses
    kafka.cluster.freeze(1);
    kafka.cluster.refuse = undefined;
    const frozen = kafka.watch(log.append(topic, [record('a', 0)])); // partitions 0 and 3 have the same leader
    await kafka.clock.advance(50); // the pause is over: the batch waits for the request in flight
    await kafka.run(log.close());
    expect(retried.error).toMatchObject({ code: 'Unreachable', details: { outcome: 'not-sent' } });
    expect(frozen.error).toMatchObject({ code: 'Unreachable', details: { outcome: 'unknown' } });
    kafka.cluster.thaw(1);
    await kafka.clock.advance(1_000);
    expect([kafka.cluster.values(topic, 0), kafka.cluster.values(topic, 3)]).toEqual([['a'], []]);
  });

  it('examines each record a bounded number of times when many calls are overdue', async () => {
    const { log, topic } = await kafka.open(4, {}, { appendMs: 5_000 });
    let reads = 0;
    // oxlint-disable-next-line typescript/unbound-method -- called with the `this` of the mock below
    const { itemsOf } = PendingAppends.prototype;
    const counted = jest.spyOn(PendingAppends.prototype, 'itemsOf').mockImplementation(function (
      this: PendingAppends,
      call,
      ...rest
    ) {
      const count = (item: Item): Item =>
        Object.defineProperty({ ...item }, 'call', { enumerable: true, get: () => (reads++, call) });
      return itemsOf.call(this, call, ...rest).map(count);
    });
    for (const node of [1, 2, 3]) kafka.cluster.freeze(node);
    const calls = Array.from({ length: 400 }, (_, n) => kafka.watch(log.append(topic, [record(`${n}`, n % 4)])));
    await kafka.clock.advance(4_000); // the records are in flight
    reads = 0;
    await kafka.until(() => calls.every(({ settled }) => settled), 3_000);
    expect(calls.map(({ error }) => isBusError(error, 'Unreachable') && error.details.outcome)).toEqual(
      calls.map(() => 'unknown'),
    );
    expect(reads).toBeGreaterThan(0);
    expect(reads / calls.length).toBeLessThan(5);
    counted.mockRestore();
    for (const node of [1, 2, 3]) kafka.cluster.thaw(node);
  });

  it('lingers for more records when answers are slow, so that batches grow', async () => {
    const { log, topic } = await kafka.open();
    kafka.cluster.latencyMs = 50;
    for (let n = 0; n < 20; n++) await kafka.run(log.append(topic, [record(`${n}`)]));
    const before = produced().length;
    const one = log.append(topic, [record('x')]);
    await kafka.clock.advance(1);
    const two = log.append(topic, [record('y')]);
    await kafka.run(Promise.all([one, two]));
    expect(produced().slice(before)).toEqual([[['x', 'y']]]);
  });

  it('writes the records of calls that waited for metadata in the order of the calls', async () => {
    const { topic } = await kafka.open();
    const { log } = kafka.process('two');
    const all = ['a', 'b', 'c'].map((value) => log.append(topic, [record(value)]));
    await kafka.run(Promise.all(all));
    expect(kafka.cluster.values(topic)).toEqual(['a', 'b', 'c']);
    expect(valuesOf(await kafka.run(log.peek(topic, { partition: 0, offset: 1 }, { messages: 9, bytes: 99 })))).toEqual(
      ['b', 'c'],
    );
  });
});
