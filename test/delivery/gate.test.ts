/** Gate of a handler: waiting calls are dropped when it closes, and running ones are aborted after `drainMs`. */
import { openNotices } from '../../src/base/notices';
import { DeliveryContext } from '../../src/delivery/context';
import { Gate } from '../../src/delivery/gate';
import { virtualClock } from '../../src/memory';

const clock = virtualClock();
function call(id: string) {
  const from = { module: 'web', instance: 'web#1' };
  const facts = { id, entry: 'a.b', attempt: 1, deadline: Infinity, from, baggage: {}, traceparent: undefined };
  return new DeliveryContext(facts, clock, openNotices());
}

test('closing drops waiting calls at once, waits for running ones, and aborts them after drainMs', async () => {
  const gate = new Gate();
  const dropped: string[] = [];
  const drops = ['one', 'two', 'three'].map((id) => () => void dropped.push(id));
  const [one, two, three] = drops;
  if (!one || !two || !three) throw new Error('there are three');
  drops.forEach((drop) => gate.wait(drop));
  const [first, second] = [call('one'), call('two')];
  expect([gate.enter(one, first), gate.enter(two, second)]).toEqual([true, true]);
  let isClosed = false;
  const closing = gate.close(clock, 1_000, 'closed').then(() => (isClosed = true));
  expect(dropped).toEqual(['three']);
  expect(gate.enter(three, call('three'))).toBe(false);
  gate.wait(() => void dropped.push('four'));
  expect(dropped).toEqual(['three', 'four']);
  gate.leave(first);
  await clock.advance(999);
  expect([isClosed, second.signal.aborted]).toEqual([false, false]);
  await clock.advance(1);
  await closing;
  expect([first.signal.aborted, second.signal.reason]).toEqual([false, 'closed']);
});

test('closing resolves when the last running call ends, and aborts nothing', async () => {
  const gate = new Gate();
  const drop = (): void => undefined;
  const context = call('one');
  gate.wait(drop);
  gate.enter(drop, context);
  const closing = gate.close(clock, 1_000, 'closed');
  gate.leave(context);
  await closing;
  expect(context.signal.aborted).toBe(false);
});
