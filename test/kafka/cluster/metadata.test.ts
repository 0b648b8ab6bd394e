import { openNotices, type Notice } from '../../../src/base/notices';
import { KafkaError } from '../../../src/kafka/protocol/errors';
import { FakeBench } from '../../support/fake-kafka-log';

let bench: FakeBench;
beforeEach(() => (bench = new FakeBench()));
afterEach(() => bench.close());

describe('the cluster metadata', () => {
  it('waits while a broker returns no brokers, and rejects with Unreachable at the deadline', async () => {
    const metadata = bench.view('one');
    bench.cluster.nameless = true;
    const late = bench.watch(metadata.withRetries('the brokers', () => metadata.nodes()));
    await bench.clock.advance(1_000);
    expect(late.settled).toBe(false);
    bench.cluster.nameless = false;
    await bench.until(() => late.settled);
    expect(late.value).toEqual([1, 2, 3]);
    bench.cluster.nameless = true;
    const other = bench.view('two');
    const error = await bench.refusal(other.withRetries('the brokers', () => other.nodes()));
    expect(error).toMatchObject({ code: 'Unreachable' });
    expect(error.message).toContain('no broker is reachable');
  });

  it.each([
    ['an error that is retried', 'COORDINATOR_NOT_AVAILABLE'],
    ['an error that is not retried', 'NON_EMPTY_GROUP'],
  ])('reports an unknown outcome when a try of unknown outcome was followed by %s', async (_, code) => {
    const metadata = bench.view('one');
    const errors = [new KafkaError('DEADLINE', 'no answer'), new KafkaError(code, 'g')];
    const run = (): Promise<never> => Promise.reject(errors.length > 1 ? errors.shift()! : errors[0]!);
    const error = await bench.refusal(metadata.withRetries('deleting the group g', run));
    expect(error).toMatchObject({ code: 'Unreachable', details: { outcome: 'unknown' } });
    expect(error.message).toContain(code);
  });

  it('reports that nothing was sent when no try had an unknown outcome', async () => {
    const metadata = bench.view('one');
    const run = (): Promise<never> => Promise.reject(new KafkaError('COORDINATOR_NOT_AVAILABLE', 'g'));
    const error = await bench.refusal(metadata.withRetries('deleting the group g', run));
    expect(error).toMatchObject({ code: 'Unreachable', details: { outcome: 'not-sent' } });
  });

  it('does not report the brokers as reachable when it is closed while they are down', async () => {
    const notices = openNotices();
    const states: Notice[] = [];
    notices.watchStates((notice) => void states.push(notice));
    const metadata = bench.view('one', notices);
    for (const node of [1, 2, 3]) bench.cluster.kill(node);
    const refreshed = async (): Promise<void> => {
      while (states.length === 0) await metadata.refresh();
    };
    await bench.run(refreshed());
    expect(states).toMatchObject([{ part: 'kafka', ok: false }]);
    const last = metadata.refresh();
    metadata.close();
    await bench.run(last);
    expect(states).toHaveLength(1);
  });
});
