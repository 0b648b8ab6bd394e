import { BrokerSource } from '../../../src/kafka/consume/broker-source';
import { FetchBuffer } from '../../../src/kafka/consume/fetch-buffer';
import { KafkaError } from '../../../src/kafka/protocol/errors';
import type { FetchRequest } from '../../../src/kafka/protocol/types';
import { deferred } from '../../../src/base/lifecycle';
import { FakeKafka } from '../../support/fake-kafka-log';

let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

/** A source of broker 1 whose fetches the test answers. Its positions want records until they are removed. */
function source() {
  const metadata = kafka.view('one');
  const closing = new AbortController();
  const fetches: { ask: FetchRequest; answer: (error?: KafkaError) => void }[] = [];
  const fetch = (_: unknown, ask: FetchRequest): Promise<never[]> => {
    const response = deferred<never[]>();
    fetches.push({ ask, answer: (error) => (error ? response.reject(error) : response.resolve([])) });
    return response.promise;
  };
  Object.assign(metadata.parts.client, { fetch });
  const wanting: FetchBuffer[] = [];
  const events: string[] = [];
  const broker = new BrokerSource(1, {
    metadata,
    channel: 'work',
    closing: closing.signal,
    readHealth: { fails: (buffer, reason) => void events.push(`fails ${buffer.partition}: ${reason}`) },
    results: { take: () => undefined },
    wanting: () => [...wanting],
    openCount: () => wanting.length,
    plan: () => void events.push('plan'),
    planSoon: () => void events.push('planSoon'),
    ended: (node) => void events.push(`ended ${node}`),
  });
  const open = (partition: number): void => void wanting.push(new FetchBuffer('t', partition, 0, () => undefined));
  const asked = (): number[][] => fetches.map(({ ask }) => ask.partitions.map(({ partition }) => partition));
  return { broker, closing, events, fetches, wanting, open, asked, metadata };
}

describe('the source of one broker', () => {
  it('polls while positions want records, and then ends', async () => {
    const { broker, events, fetches, wanting, open, asked } = source();
    open(0);
    void broker.poll();
    fetches[0]?.answer();
    await kafka.clock.advance(0);
    expect([asked(), fetches[0]?.ask.maxWaitMs]).toEqual([[[0], [0]], 500]);
    wanting.length = 0;
    fetches[1]?.answer();
    await kafka.clock.advance(0);
    expect([fetches.length, events]).toEqual([2, ['ended 1', 'plan']]);
  });

  it('fetches added positions beside its poll without waiting, and again after the time of a poll', async () => {
    const { broker, closing, events, fetches, open, asked } = source();
    open(0);
    void broker.poll();
    open(1);
    void broker.catchUp();
    void broker.catchUp();
    expect([asked(), fetches[1]?.ask.maxWaitMs]).toEqual([[[0], [1]], 0]);
    fetches[1]?.answer();
    await kafka.clock.advance(0);
    void broker.catchUp();
    expect([fetches.length, events]).toEqual([2, ['plan']]);
    await kafka.clock.advance(500);
    expect(events).toEqual(['plan', 'planSoon']);
    void broker.catchUp();
    expect(asked()[2]).toEqual([1]);
    closing.abort();
    for (const { answer } of fetches.slice(0, 1).concat(fetches.slice(2))) answer();
    await kafka.clock.advance(500);
  });

  it('requests fewer bytes and allows more time after a timeout', async () => {
    const { broker, closing, fetches, open } = source();
    open(0);
    void broker.poll();
    fetches[0]?.answer(new KafkaError('DEADLINE', 'no response'));
    await kafka.clock.advance(500);
    const [first, second] = fetches.map(({ ask }) => ask);
    expect([first?.bytesMax, first?.spareMs]).toEqual([2 * 1024 * 1024, 2_000]);
    expect([second?.bytesMax, second?.spareMs]).toEqual([512 * 1024, 4_000]);
    closing.abort();
    fetches[1]?.answer();
    await kafka.clock.advance(500);
  });

  it('reports a failed fetch of the partitions that its broker still leads', async () => {
    const { broker, closing, events, fetches, open, metadata } = source();
    Object.assign(metadata, { leader: ({ partition }: { partition: number }) => (partition === 0 ? 1 : 2) });
    open(0);
    open(1);
    void broker.poll();
    fetches[0]?.answer(new KafkaError('CONNECTION', 'cut'));
    await kafka.clock.advance(0);
    expect(events).toEqual(['fails 0: cut']);
    closing.abort();
    await kafka.clock.advance(500);
  });
});
