/** Phases of a bus: the calls that each accepts, and the steps of opening that are tracked. */
import { deferred } from '../../src/base/lifecycle';
import { openPhase } from '../../src/bus/phase';
import { openScopes, type Scope } from '../../src/delivery/context';
import { virtualClock } from '../../src/memory';

const delivery: Scope = { id: 'm1', deadline: Infinity, baggage: {}, traceparent: undefined, open: true };

function open() {
  const clock = virtualClock();
  const scopes = openScopes();
  const phase = openPhase({ clock, scopes, instance: 'photos#1' });
  const inHandler = (scope: Scope = delivery) => scopes.run(scope, () => phase.mustBeOpen());
  return { clock, phase, inHandler };
}

test('an open bus accepts calls', () => {
  const { phase } = open();
  expect(() => phase.mustBeOpen()).not.toThrow();
});

test('a leaving bus accepts only calls of handlers that still run', () => {
  const { phase, inHandler } = open();
  phase.enter('leaving');
  expect(() => phase.mustBeOpen()).toThrow('the bus of photos#1 was closed');
  expect(() => inHandler()).not.toThrow();
  expect(() => inHandler({ ...delivery, open: false })).toThrow('was closed');
  expect(() => inHandler({ ...delivery, id: undefined })).toThrow('was closed'); // inside `bus.with`, outside handlers
});

test('a closed bus rejects every call with the time since the last phase began', async () => {
  const { clock, phase, inHandler } = open();
  phase.enter('leaving');
  await clock.advance(100);
  phase.enter('closed');
  await clock.advance(7);
  const error = expect.objectContaining({ code: 'Closed', details: { outcome: 'not-sent', sinceMs: 7 } });
  expect(() => phase.mustBeOpen()).toThrow(error);
  expect(() => inHandler()).toThrow(error);
});

test('a step is tracked until it settles, and its result is returned', async () => {
  const { phase } = open();
  const [succeeds, fails] = [deferred<number>(), deferred<number>()];
  const steps = [phase.start(succeeds.promise), phase.start(fails.promise)];
  expect([...phase.starting]).toEqual(steps);
  succeeds.resolve(1);
  fails.reject(new Error('no'));
  expect(await Promise.allSettled(steps)).toMatchObject([{ value: 1 }, { reason: { message: 'no' } }]);
  expect(phase.starting.size).toBe(0);
});
