import { openNotices, type Notice } from '../../../src/base/notices';
import { KafkaError } from '../../../src/kafka/protocol/errors';
import { FakeKafka } from '../../support/fake-kafka-log';

let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

describe('the cluster metadata', () => {
  it('waits while a broker returns no brokers, and rejects with Unreachable at the deadline', async () => {
    const metadata = kafka.view('one');
    kafka.cluster.nameless = true;
    const late = kafka.watch(metadata.withRetries('the brokers', () => metadata.nodes()));
    await kafka.clock.advance(1_000);
    expect(late.settled).toBe(false);
    kafka.cluster.nameless = false;
    await kafka.until(() => late.settled);
    expect(late.value).toEqual([1, 2, 3]);
    kafka.cluster.nameless = true;
    const other = kafka.view('two');
    const error = await kafka.refusal(other.withRetries('the brokers', () => other.nodes()));
    expect(error).toMatchObject({ code: 'Unreachable' });
    expect(error.message).toContain('no broker is reachable');
  });

  it.each([
    ['an error that is retried', 'COORDINATOR_NOT_AVAILABLE'],
    ['an error that is not retried', 'NON_EMPTY_GROUP'],
  ])('reports an unknown outcome when a try of unknown outcome was followed by %s', async (_, code) => {
    const metadata = kafka.view('one');
    const errors = [new KafkaError('DEADLINE', 'no answer'), new KafkaError(code, 'g')];
    const run = (): Promise<never> => Promise.reject(errors.length > 1 ? errors.shift()! : errors[0]!);
    const error = await kafka.refusal(metadata.withRetries('deleting the group g', run));
    expect(error).toMatchObject({ code: 'Unreachable', details: { outcome: 'unknown' } });
    expect(error.message).toContain(code);
  });

  it('reports that nothing was sent when no try had an unknown outcome', async () => {
    const metadata = kafka.view('one');
    const run = (): Promise<never> => Promise.reject(new KafkaError('COORDINATOR_NOT_AVAILABLE', 'g'));
    const error = await kafka.refusal(metadata.withRetries('deleting the group g', run));
    expect(error).toMatchObject({ code: 'Unreachable', details: { outcome: 'not-sent' } });
  });

  it('does not report the brokers as reachable when it is closed while they are down', async () => {
    const notices = openNotices();
    const states: Notice[] = [];
    notices.watchStates((notice) => void states.push(notice));
    const metadata = kafka.view('one', notices);
    for (const node of [1, 2, 3]) kafka.cluster.kill(node);
    const refreshed = async (): Promise<void> => {
      while (states.length === 0) await metadata.refresh();
    };
    await kafka.run(refreshed());
    expect(states).toMatchObject([{ part: 'kafka', ok: false }]);
    const last = metadata.refresh();
    metadata.close();
    await kafka.run(last);
    expect(states).toHaveLength(1);
  });
});
