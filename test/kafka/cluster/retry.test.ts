import { allGood, orAborted, pauseMs, retried } from '../../../src/kafka/cluster/retry';
import { KafkaError } from '../../../src/kafka/protocol/errors';
import { seededRandom, virtualClock } from '../../../src/memory/clock';

function retries(...errors: Error[]) {
  const clock = virtualClock();
  const closing = new AbortController();
  const counts = { tries: 0, refreshes: 0 };
  const refresh = async (): Promise<void> => void counts.refreshes++;
  const run = async (): Promise<string> => {
    const error = errors[counts.tries++];
    if (error) throw error;
    return 'done';
  };
  const parts = { clock, random: seededRandom(3), user: 'bus', refresh, closing: closing.signal };
  const start = (forMs = 10_000): Promise<unknown> =>
    retried(parts, 'reading', run, forMs).catch((error: unknown) => error);
  return { clock, closing, counts, start };
}
const error = (code: string): KafkaError => new KafkaError(code, 'topic t');

describe('a retried request', () => {
  it('is repeated after a pause, and after a refresh if another broker can be the leader', async () => {
    const { clock, counts, start } = retries(error('NOT_LEADER_OR_FOLLOWER'), error('THROTTLING_QUOTA_EXCEEDED'));
    const running = start();
    await clock.advance(1_000);
    expect([await running, counts]).toEqual(['done', { tries: 3, refreshes: 1 }]);
  });

  it('is not repeated after an error that no retry resolves', async () => {
    const { counts, start } = retries(error('TOPIC_AUTHORIZATION_FAILED'));
    expect(await start()).toMatchObject({ code: 'NotAllowed', message: expect.stringContaining('bus') });
    expect(counts.tries).toBe(1);
  });

  it('rejects with an error that is not of Kafka unchanged', async () => {
    const defect = new TypeError('x is undefined');
    expect(await retries(defect).start()).toBe(defect);
  });

  it.each([
    ['NOT_COORDINATOR', 'not-sent'],
    ['DEADLINE', 'unknown'],
  ])('ends after its time with the outcome of its tries: %s, %s', async (first, outcome) => {
    const more = Array.from({ length: 100 }, () => error('NOT_COORDINATOR'));
    const { clock, counts, start } = retries(error(first), ...more);
    const running = start(2_000);
    await clock.advance(3_000);
    expect(await running).toMatchObject({ code: 'Unreachable', details: { outcome } });
    expect(counts.tries).toBeLessThan(20);
  });

  it('ends when the log closes', async () => {
    const { clock, closing, counts, start } = retries(error('NOT_COORDINATOR'), error('NOT_COORDINATOR'));
    const running = start();
    await clock.advance(1);
    closing.abort();
    expect(await running).toMatchObject({ code: 'Unreachable' });
    expect(counts.tries).toBe(2);
  });
});

test('pauses double from 20 to 500 ms, of which each client waits half or more', () => {
  const random = seededRandom(1);
  for (const [tries, longestMs] of [[0, 20] as const, [3, 160] as const, [10, 500] as const, [5_000, 500] as const]) {
    const ms = pauseMs(random, tries);
    expect(ms).toBeGreaterThanOrEqual(longestMs / 2);
    expect(ms).toBeLessThanOrEqual(longestMs);
  }
});

test('allGood throws the first error of the results', () => {
  const [first, second] = [error('INVALID_REQUEST'), error('DEADLINE')];
  expect(allGood([{ error: null }])).toEqual([{ error: null }]);
  expect(() => allGood([{ error: null }, { error: first }, { error: second }])).toThrow(first);
});

test('orAborted settles like the work, or rejects with the reason of the signal', async () => {
  const limit = new AbortController();
  expect(await orAborted(Promise.resolve(1), limit.signal)).toBe(1);
  const waiting = orAborted(new Promise<never>(() => undefined), limit.signal);
  limit.abort(error('DEADLINE'));
  await expect(waiting).rejects.toMatchObject({ code: 'DEADLINE' });
  await expect(orAborted(Promise.resolve(1), limit.signal)).rejects.toMatchObject({ code: 'DEADLINE' });
});
