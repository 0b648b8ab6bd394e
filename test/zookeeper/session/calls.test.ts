import { virtualClock } from '../../../src/memory/clock';
import { SessionCalls } from '../../../src/zookeeper/session/calls';
import type { Connection } from '../../../src/zookeeper/session/connection';
import { codes, LostError, ServerError } from '../../../src/zookeeper/session/errors';

function open() {
  const clock = virtualClock();
  const state: { connection?: Connection; refusal?: Error; sessionMs: number } = { sessionMs: 2_000 };
  const calls = new SessionCalls({
    clock,
    server: 'ZooKeeper at x:1',
    sessionMs: () => state.sessionMs,
    connection: () => state.connection,
    refusal: () => state.refusal,
    reason: () => 'no response yet',
    checkOpen: () => undefined,
  });
  return { clock, state, calls };
}
const connected = { alive: true } as Connection; // a call passes it on

test('a call waits for a connection, and runs on it', async () => {
  const { clock, state, calls } = open();
  const result = calls.call('reading', true, async (connection) => connection === connected);
  await clock.advance(500);
  state.connection = connected;
  calls.wake();
  expect(await result).toBe(true);
});

test('a call without a connection rejects after a session timeout', async () => {
  const { clock, calls } = open();
  const failed = calls.call('reading', true, async () => undefined).catch((error: unknown) => error);
  await clock.advance(2_000);
  expect(await failed).toMatchObject({ code: 'Unreachable', details: { waitedMs: 2_000 } });
});

test('a call rejects at once while every server refuses', async () => {
  const { state, calls } = open();
  state.refusal = new ServerError(codes.authFailed, 'x:1');
  await expect(calls.call('reading', true, async () => undefined)).rejects.toMatchObject({ code: 'NotAllowed' });
});

test('a lost response repeats only a call that can run twice', async () => {
  const { state, calls } = open();
  state.connection = connected;
  let runs = 0;
  const run = async (): Promise<number> => {
    if (++runs === 1) throw new LostError('the connection has ended');
    return runs;
  };
  expect(await calls.call('reading', true, run)).toBe(2);
  runs = 0;
  await expect(calls.call('writing', false, run)).rejects.toThrow('the connection has ended');
});
