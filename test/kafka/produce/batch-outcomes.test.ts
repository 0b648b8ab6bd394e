import { openNotices, type Notice } from '../../../src/base/notices';
import { BatchOutcomes } from '../../../src/kafka/produce/batch-outcomes';
import { PartitionQueue } from '../../../src/kafka/produce/partition-queue';
import { PendingAppends } from '../../../src/kafka/produce/pending-appends';
import { KafkaError } from '../../../src/kafka/protocol/errors';
import type { Produced } from '../../../src/kafka/protocol/types';
import { FakeKafka, record } from '../../support/fake-kafka-log';

let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

/** A queue whose first batch has `count` records of one append, and is in flight to broker 1. */
function inFlight(count = 1) {
  const notices = openNotices();
  const emitted: Notice[] = [];
  notices.watch((notice) => void emitted.push(notice));
  const metadata = kafka.view('one', notices);
  const pending = new PendingAppends(kafka.clock);
  const offered: number[] = [];
  const offer = ({ partition }: PartitionQueue): void => void offered.push(partition);
  const outcomes = new BatchOutcomes({ metadata, pending, unknownMs: 60_000, offer });
  const queue = new PartitionQueue('t', 0);
  const records = Array.from({ length: count }, (_, i) => record(`${i}`));
  const { call, landed } = pending.begin('t', count, 30_000);
  const append = kafka.watch(landed);
  for (const item of pending.itemsOf(call, records, pending.checkRoom('t', records))) queue.add(item);
  const token = {};
  const send = () => {
    const batch = outcomes.firstOf(queue);
    if (!batch) throw new Error('the queue is empty');
    queue.inFlight = token;
    batch.tries++;
    batch.firstSent ??= { monoMs: kafka.clock.mono(), nowMs: kafka.clock.now() };
    return batch;
  };
  const answer = (more: Partial<Produced> = {}): Produced => {
    return { topic: 't', partition: 0, error: null, offset: 7, timeMs: 5, refused: [], ...more };
  };
  return { outcomes, queue, token, batch: send(), send, append, offered, emitted, answer };
}

describe('the outcome of a batch', () => {
  it('resolves its append with the offsets of the response', async () => {
    const { outcomes, queue, token, batch, append, offered, answer } = inFlight(2);
    outcomes.answered(1, token, queue, batch, answer());
    await kafka.clock.advance(0);
    expect(append.value).toMatchObject([
      { partition: 0, offset: 7 },
      { partition: 0, offset: 8 },
    ]);
    expect([queue.empty, queue.inFlight, offered]).toEqual([true, undefined, [0]]);
  });

  it('is ignored if it belongs to an earlier request', async () => {
    const { outcomes, queue, batch, append, answer } = inFlight();
    outcomes.answered(1, {}, queue, batch, answer());
    outcomes.failed(1, {}, queue, batch, new KafkaError('TOPIC_AUTHORIZATION_FAILED', 't'));
    await kafka.clock.advance(0);
    expect([append.settled, queue.batch]).toEqual([false, batch]);
  });

  it('is unknown without a response, and the batch is offered again unchanged after a pause', async () => {
    const { outcomes, queue, token, batch, offered } = inFlight();
    outcomes.answered(1, token, queue, batch, undefined);
    expect([batch.uncertain, offered, queue.batch]).toEqual([true, [], batch]);
    await kafka.clock.advance(1_000);
    expect([offered, queue.batch]).toEqual([[0], batch]);
  });

  it('rejects only the records that the broker names', async () => {
    const { outcomes, queue, token, batch, append, answer } = inFlight(3);
    const error = new KafkaError('INVALID_RECORD', 't');
    outcomes.answered(1, token, queue, batch, answer({ error, refused: [{ index: 1, reason: 'no key' }] }));
    await kafka.clock.advance(0);
    expect(queue.batch?.items.map(({ index }) => index)).toEqual([0, 2]);
    expect(append.settled).toBe(false);
  });

  it('halves a rejected batch if the broker names no record', () => {
    const { outcomes, queue, token, batch } = inFlight(4);
    outcomes.failed(1, token, queue, batch, new KafkaError('RECORD_LIST_TOO_LARGE', 't'));
    expect(queue.batch?.items.map(({ index }) => index)).toEqual([0, 1]);
  });

  it('is an unknown outcome for the caller if an earlier try can have been written', async () => {
    const { outcomes, queue, token, batch, send, append } = inFlight();
    outcomes.failed(1, token, queue, batch, new KafkaError('DEADLINE', 'no response'));
    send();
    outcomes.failed(1, token, queue, batch, new KafkaError('INVALID_RECORD', 't'));
    await kafka.clock.advance(1_000);
    expect(append.error).toMatchObject({ code: 'Unreachable', details: { outcome: 'unknown' } });
    expect(queue.empty).toBe(true);
  });

  it('is given up with a notice once it has been unknown for `unknownMs`', async () => {
    const { outcomes, queue, token, batch, append, emitted } = inFlight();
    outcomes.failed(1, token, queue, batch, new KafkaError('DEADLINE', 'no response'));
    await kafka.clock.advance(59_999);
    outcomes.expire(queue);
    expect(queue.batch).toBe(batch);
    await kafka.clock.advance(1);
    outcomes.expire(queue);
    await kafka.clock.advance(0);
    expect(emitted).toMatchObject([{ type: 'dropped', what: '1 records for t/0' }]);
    expect(append.error).toMatchObject({ code: 'Unreachable', details: { outcome: 'unknown' } });
  });
});
