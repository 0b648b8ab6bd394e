/** Ends of open requests: reply, error, deadline and abort, each once. */
import { getEventListeners } from 'node:events';
import { limits } from '../../src/base/limits';
import { openNotices, type Notice } from '../../src/base/notices';
import { virtualClock } from '../../src/memory';
import type { OpenCall } from '../../src/request/open-call';
import { createOpenCalls } from '../../src/request/open-calls';
import { openCall, sentTo, targetOf } from '../support/open-calls';

function system(failure?: string) {
  const clock = virtualClock();
  const notices = openNotices();
  const [answered, cancelled, released]: [string[], string[], string[]] = [[], [], []];
  notices.watch((notice: Notice) => notice.type === 'answered' && answered.push(`${notice.id} ${notice.outcome}`));
  const open = createOpenCalls({
    clock,
    notices,
    messenger: { whyDelayed: () => failure },
    peers: { release: ({ instance }) => void released.push(instance.name) },
    cancel: ({ id }) => void cancelled.push(id),
  });
  const begin = (given: Parameters<typeof openCall>[1] = {}) => {
    const begun = openCall(clock, given);
    open.add(begun.call);
    return begun;
  };
  return { clock, open, begin, answered, cancelled, released };
}
const code = (error: string) => expect.objectContaining({ code: error });

test('a call ends once: a later reply, error or deadline changes nothing', async () => {
  const { clock, open, begin, answered, released } = system();
  const { call, ends } = begin();
  sentTo(targetOf('a'), call, clock);
  open.resolve(call, 2);
  open.resolve(call, 3);
  open.settle(call, new Error('late'));
  await clock.advance(10_000);
  expect(ends).toEqual([2]);
  expect(answered).toEqual(['id1 ok']);
  expect(released).toEqual(['a']);
  expect(open.byId.size).toBe(0);
  expect(clock.nextDueMs).toBeUndefined();
});

test('a call without a reply ends in Timeout at its deadline', async () => {
  const { clock, begin, answered } = system();
  const { ends } = begin({ timeoutMs: 100 });
  await clock.advance(99);
  expect(ends).toEqual([]);
  await clock.advance(1);
  expect(ends).toEqual([code('Timeout')]);
  expect(answered).toEqual(['id1 Timeout']);
});

test('a call whose deadline passed before it was added ends at once', () => {
  const { open, begin } = system();
  expect(begin({ timeoutMs: 0 }).ends).toEqual([code('Timeout')]);
  expect(open.byId.size).toBe(0);
});

describe('at its deadline', () => {
  async function endOf(failure: string | undefined, change: (call: OpenCall) => void): Promise<unknown> {
    const { clock, begin } = system(failure);
    const { call, ends } = begin();
    sentTo(targetOf('a'), call, clock);
    change(call);
    await clock.advance(1_000);
    return ends[0];
  }
  const lost = (call: OpenCall): void => {
    call.mayBeDone = true;
    call.refusal = Object.assign(new Error('an earlier instance died'), { code: 'ResponderLost' }) as never;
  };

  test('a call that the transport could not deliver is Unreachable, for the reason of the transport', async () => {
    expect(await endOf('the broker is down', () => {})).toMatchObject({
      code: 'Unreachable',
      details: { outcome: 'unknown', cause: 'the broker is down' },
    });
  });

  test('a call that an earlier instance can have handled has the error of that instance', async () => {
    expect(await endOf(undefined, lost)).toMatchObject({ code: 'ResponderLost' });
  });

  test('a call that another instance has started since is a Timeout', async () => {
    const started = (call: OpenCall): void => {
      lost(call);
      call.reached = 'running';
    };
    expect(await endOf('the broker is down', started)).toMatchObject({
      code: 'Timeout',
      details: { reached: 'running' },
    });
  });
});

test('an abort cancels each open call of the signal, and their instances are notified', () => {
  const { open, begin, cancelled } = system();
  const controller = new AbortController();
  const options = { signal: controller.signal };
  const calls = Array.from({ length: 20 }, (_, n) => begin({ id: `id${n}`, options }));
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1); // Node.js warns of a leak at the eleventh
  calls.slice(2).forEach(({ call }) => open.resolve(call, 2));
  controller.abort(new Error('enough'));
  expect(calls.slice(0, 3).map(({ ends }) => ends)).toEqual([[code('Cancelled')], [code('Cancelled')], [2]]);
  expect(cancelled).toEqual(['id0', 'id1']);
});

test('a call with an aborted signal ends at once, without a cancel', () => {
  const { begin, cancelled } = system();
  expect(begin({ options: { signal: AbortSignal.abort() } }).ends).toEqual([code('Cancelled')]);
  expect(cancelled).toEqual([]);
});

test('a long-lived signal keeps no call that has ended', () => {
  const { open, begin } = system();
  const { signal } = new AbortController();
  open.resolve(begin({ options: { signal } }).call, 2);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('bytes of open calls are bounded, and freed when a call ends', () => {
  const { open, begin } = system();
  const { call } = begin({ bytes: limits.pendingBytesMax });
  expect(() => open.mustFit('maths.double', 1)).toThrow(code('Overloaded'));
  open.settle(call, new Error('over'));
  expect(() => open.mustFit('maths.double', 1)).not.toThrow();
});
