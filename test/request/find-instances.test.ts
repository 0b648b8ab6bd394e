import { getEventListeners } from 'node:events';
import { defineModule, request, unchecked } from '../../src/contract/contract';
import { openScopes } from '../../src/delivery/context';
import { virtualClock } from '../../src/memory';
import { findAllInstances } from '../../src/request/find-instances';
import type { AskOptions } from '../../src/request/open-call';

const maths = defineModule('maths', { ping: request(unchecked<number>(), unchecked<number>()) });

/** A registry that answers after `answerMs`, or never when that is Infinity. */
function system(answerMs: number) {
  const virtual = virtualClock();
  let setMs = 0;
  const clock = { ...virtual, now: () => virtual.now() + setMs };
  const scopes = openScopes();
  const peers = {
    of: () => new Promise<[]>((resolve) => answerMs < Infinity && clock.after(answerMs, () => resolve([]))),
  };
  const find = (options?: AskOptions) =>
    findAllInstances({ clock, scopes, peers, timeoutMs: () => 5_000 }, maths.ping, options).then(
      (found) => found.options.timeoutMs,
      (error: unknown) => error,
    );
  return {
    clock,
    scopes,
    find,
    setClock: (byMs: number) => void (setMs += byMs),
    nextDueMs: () => virtual.nextDueMs,
  };
}

test('a search in an unresponsive registry ends in Timeout at its deadline', async () => {
  const { clock, find } = system(10_000);
  const [mine, usual] = [find({ timeoutMs: 1_000 }), find()];
  await clock.advance(1_000);
  expect(await mine).toMatchObject({ code: 'Timeout', details: { reached: 'not-sent', timeoutMs: 1_000 } });
  await clock.advance(4_000);
  expect(await usual).toMatchObject({ code: 'Timeout', details: { timeoutMs: 5_000 } });
});

test('a search inherits the deadline of the surrounding handler', async () => {
  const { clock, scopes, find } = system(10_000);
  const scope = { id: 'x', deadline: clock.now() + 300, traceparent: undefined, baggage: {}, open: true };
  const found = scopes.run(scope, () => find());
  await clock.advance(300);
  expect(await found).toMatchObject({ code: 'Timeout' });
});

test('a cancelled search ends immediately', async () => {
  const { clock, find } = system(10_000);
  const stop = new AbortController();
  const found = find({ signal: stop.signal });
  await clock.advance(100);
  stop.abort('enough');
  expect(await found).toMatchObject({ code: 'Cancelled', details: { reason: 'enough' } });
  expect(await find({ signal: stop.signal })).toMatchObject({ code: 'Cancelled' });
});

test('the search time is deducted from the timeout of the requests', async () => {
  const { clock, find } = system(400);
  const found = find({ timeoutMs: 1_000 });
  await clock.advance(400);
  expect(await found).toBe(600);
});

test.each([-3_600_000, 3_600_000])(
  'the remaining time is the same when the wall clock is set by %d ms',
  async (byMs) => {
    const { clock, find, setClock } = system(400);
    const found = find({ timeoutMs: 1_000 });
    await clock.advance(100);
    setClock(byMs);
    await clock.advance(300);
    expect(await found).toBe(600);
  },
);

test('a search that timed out or was cancelled leaves no signal listener and no timer', async () => {
  const { clock, find, nextDueMs } = system(Infinity);
  const [kept, stop] = [new AbortController(), new AbortController()];
  const late = Array.from({ length: 20 }, () => find({ timeoutMs: 1_000, signal: kept.signal }));
  const cancelled = find({ timeoutMs: 60_000, signal: stop.signal });
  stop.abort('enough');
  expect(await cancelled).toMatchObject({ code: 'Cancelled' });
  await clock.advance(1_000);
  expect(await Promise.all(late)).toMatchObject(Array(20).fill({ code: 'Timeout' }));
  expect(getEventListeners(kept.signal, 'abort')).toEqual([]);
  expect(nextDueMs()).toBeUndefined();
});
