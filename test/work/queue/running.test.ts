import { virtualClock } from '../../../src/memory';
import { Message, type Holder } from '../../../src/work/message';
import { RunningMessages } from '../../../src/work/queue/running';

const holder = {} as Holder; // running messages do not use it
const message = (offset: number): Message => {
  const record = { partition: 0, offset, key: null, value: null, headers: {}, timeMs: 0 };
  return new Message(holder, record, 'a.b', `id${offset}`, null, undefined, undefined);
};

function wait(running: RunningMessages, ...ends: Promise<void>[]) {
  const clock = virtualClock();
  const state = { isOver: false };
  void running.ended(clock, 1_000, ends).then(() => (state.isOver = true));
  return { clock, state };
}

test('the wait is over when the last message has ended', async () => {
  const running = new RunningMessages();
  const [one, other] = [message(1), message(2)];
  running.add(one);
  running.add(other);
  const { clock, state } = wait(running);
  running.remove(one);
  await clock.advance(0);
  expect(state.isOver).toBe(false);
  running.remove(other);
  await clock.advance(0);
  expect(state.isOver).toBe(true);
});

test('the wait is over after its time, or when one of the other promises resolves', async () => {
  const running = new RunningMessages();
  running.add(message(1));
  const timed = wait(running);
  await timed.clock.advance(999);
  expect(timed.state.isOver).toBe(false);
  await timed.clock.advance(1);
  expect(timed.state.isOver).toBe(true);

  const ended = wait(running, Promise.resolve());
  await ended.clock.advance(0);
  expect(ended.state.isOver).toBe(true);
});

test('only called handlers count as running, and announced messages on request', () => {
  const running = new RunningMessages();
  const announced = message(1);
  announced.announced = true;
  running.add(announced);
  running.add(message(2));
  expect([...running.offsets(false)]).toEqual([]);
  expect([...running.offsets(true)]).toEqual([1]);
});
