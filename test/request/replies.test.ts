/** Effect of replies, states and departures on open requests. */
import { openNotices } from '../../src/base/notices';
import { encodeBody } from '../../src/format/codec';
import type { Envelope } from '../../src/format/envelope-fields';
import { virtualClock } from '../../src/memory';
import type { OpenCall } from '../../src/request/open-call';
import { errorReply } from '../../src/request/outcome';
import { createReplyHandler } from '../../src/request/replies';
import { maths, openCall, sentTo, targetOf } from '../support/open-calls';

/** A request that was sent to instance a, and a record of what becomes of it. */
function system(entry: OpenCall['entry'] = maths.double) {
  const clock = virtualClock();
  const notices = openNotices();
  const [ends, dropped]: [unknown[], unknown[]] = [[], []];
  notices.watch((notice) => notice.type === 'dropped' && dropped.push(notice.reason));
  const { call } = openCall(clock, { entry });
  const target = targetOf('a');
  sentTo(target, call, clock);
  const handler = createReplyHandler({
    clock,
    notices,
    peers: { at: (address) => (address === 'at a' ? target : undefined) },
    open: {
      byId: new Map([[call.id, call]]),
      resolve: (_call, value) => void ends.push(['resolved', value]),
      settle: (_call, error) => void ends.push(['settled', error]),
    },
    refuse: (_call, address, why) => void ends.push(['refused', address, why.code]),
  });
  const reply = (fields: Partial<Envelope>, body = encodeBody(2, 100)): void =>
    handler.reply({ kind: 'reply', entry: entry.name, id: 'id1', from: 'a', ...fields }, body, 'at a');
  const state = (code: string, position = 1): void =>
    reply({ status: 'state', code, stamp: { incarnation: 'f', position } });
  return { clock, call, target, handler, reply, state, ends, dropped };
}
const settled = (fields: object) => ['settled', expect.objectContaining(fields)];

test('a reply resolves its call, and counts as a sign of life', () => {
  const { call, target, reply, ends } = system();
  target.silentSinceMs = -Infinity;
  reply({ status: 'ok' });
  expect(ends).toEqual([['resolved', 2]]);
  expect(call.isAnswered).toBe(true);
  expect(target.silentSinceMs).toBe(0);
});

test('a reply that no call waits for, or of another instance, is dropped with a notice', () => {
  const { reply, ends, dropped } = system();
  reply({ status: 'ok', id: 'id2' });
  reply({ status: 'ok', from: 'b' });
  reply({ status: 'state', id: 'id2' }); // a late answer to a probe
  expect(dropped).toEqual(['no call waits for it', 'it is from b, which has not received the request']);
  expect(ends).toEqual([]);
});

test('an error reply settles the call with its origin', () => {
  const { reply, ends } = system();
  const { body, ...how } = errorReply({ code: 'HandlerFailed', message: 'no', details: { handlerError: 'no' } });
  reply(how, body);
  expect(ends).toEqual([
    settled({ code: 'HandlerFailed', details: expect.objectContaining({ entry: 'maths.double', instance: 'a' }) }),
  ]);
});

test('a reply that proves that the request was not started sends it to another instance', () => {
  const { reply, ends } = system(maths.count);
  const { body, ...how } = errorReply({ code: 'Closed', message: 'bye', details: { outcome: 'not-sent', sinceMs: 0 } });
  reply(how, body);
  expect(ends).toEqual([['refused', 'at a', 'Closed']]);
});

test('a Timeout of the responder marks the call as running, and its own deadline ends it', () => {
  const { call, reply, ends } = system();
  const { body, ...how } = errorReply({
    code: 'Timeout',
    message: 'late',
    details: { reached: 'running', timeoutMs: 1 },
  });
  reply(how, body);
  expect(ends).toEqual([]);
  expect(call.reached).toBe('running');
});

describe('a state', () => {
  test.each(['waiting', 'running'] as const)('%s is recorded in the call', (reached) => {
    const { call, state, ends } = system();
    state(reached);
    expect(call.reached).toBe(reached);
    expect(ends).toEqual([]);
  });

  test('unknown proves that the request was lost, so it is sent again to any instance', () => {
    const { state, ends } = system(maths.count);
    state('unknown');
    expect(ends).toEqual([['refused', '', 'NoHandler']]);
  });

  test('answered proves that the reply was lost: only an idempotent request is sent again', () => {
    const [idempotent, other] = [system(), system(maths.count)];
    idempotent.state('answered');
    other.state('answered');
    expect(idempotent.ends).toEqual([['refused', 'at a', 'Timeout']]);
    expect(other.ends).toEqual([settled({ code: 'Timeout' })]);
  });

  test('is ignored when the request was sent again since the probe, or its reply is being checked', () => {
    const { call, state, ends } = system();
    state('unknown', 0);
    call.opening = true;
    state('unknown');
    expect(ends).toEqual([]);
  });
});

test('the death of an instance ends its requests, except idempotent ones, which are sent again', () => {
  const [idempotent, other] = [system(), system(maths.count)];
  for (const { handler } of [idempotent, other]) handler.gone('at a');
  expect(idempotent.ends).toEqual([['refused', 'at a', 'ResponderLost']]);
  expect(other.ends).toEqual([settled({ code: 'ResponderLost', details: { instance: 'a' } })]);
  expect(other.target.leaving).toBe(true);
});

test('an instance that is leaving keeps its requests', () => {
  const { handler, target, ends } = system();
  handler.leaving('at a');
  handler.leaving('at b');
  expect(target.leaving).toBe(true);
  expect(ends).toEqual([]);
});
