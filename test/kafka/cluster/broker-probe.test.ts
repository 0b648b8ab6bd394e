import { BusError } from '../../../src/base/errors';
import { probeBrokers } from '../../../src/kafka/cluster/broker-probe';
import { KafkaError } from '../../../src/kafka/protocol/errors';
import { virtualClock } from '../../../src/memory';

type Answer = number | Error;
/** A probe of brokers that give these answers in turn, the last one again and again: a count of brokers, or an error. */
function scene(replicas: number, ...answers: readonly Answer[]) {
  const clock = virtualClock();
  const calls = { asked: 0, closed: 0 };
  const metadata = async () => {
    const answer = answers[Math.min(calls.asked++, answers.length - 1)] ?? 0;
    if (answer instanceof Error) throw answer;
    const nodes = Array.from({ length: answer }, (_, node) => ({ node, host: 'k', port: 1 }));
    return { nodes, controller: 0, topics: [], cluster: 'c' };
  };
  const close = async (): Promise<void> => void calls.closed++;
  const client = { metadata, close, [Symbol.asyncDispose]: close };
  const probe = probeBrokers({ brokers: ['k:1', 'k:2'], replicas, client, clock });
  const end: { atMs?: number } = {};
  const startMs = clock.now();
  void probe.responds().then(() => void (end.atMs = clock.now() - startMs));
  return { clock, calls, probe, end };
}
const refused = new KafkaError('CONNECTION', 'ECONNREFUSED', { sent: false });

test('waits until a broker returns metadata, and names its last failure', async () => {
  const { clock, probe, end } = scene(1, refused, refused, 0, 1);
  expect(probe.name).toBe('Kafka at k:1,k:2');
  await clock.advance(600);
  expect([probe.reason, probe.suffices]).toEqual(['ECONNREFUSED', false]);
  await clock.advance(500);
  expect([probe.reason, probe.suffices]).toEqual(['0 of 1 brokers are running', false]);
  await clock.advance(10_000);
  expect(end).toEqual({ atMs: 1_500 });
});

test('waits for as many brokers as topics need, at most 10 s after the first one', async () => {
  const enough = scene(3, refused, 1, 2, 3);
  await enough.clock.advance(20_000);
  expect(enough.end).toEqual({ atMs: 1_500 });
  const few = scene(3, refused, 2);
  await few.clock.advance(1_000);
  expect([few.probe.reason, few.probe.suffices]).toEqual(['2 of 3 brokers are running', true]);
  await few.clock.advance(20_000);
  expect(few.end).toEqual({ atMs: 10_500 });
});

test.each([
  ['a refusal that no wait repairs', new KafkaError('SASL_AUTHENTICATION_FAILED', 'wrong password')],
  [
    'an unreadable certificate',
    new BusError('Config', 'none.pem cannot be read', { faults: [] }, undefined, 'Correct it.'),
  ],
])('ends at %s, which the opening reports', async (_title, error) => {
  const { clock, calls, end } = scene(1, error);
  await clock.advance(0);
  expect([end, calls.asked]).toEqual([{ atMs: 0 }, 1]);
});

test('closing ends the tries and the client', async () => {
  const { clock, calls, probe, end } = scene(1, refused);
  await clock.advance(100);
  await probe.close();
  await clock.advance(60_000);
  expect([end, calls]).toEqual([{ atMs: 100 }, { asked: 1, closed: 1 }]);
});
