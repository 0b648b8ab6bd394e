import { defineModule, event, unchecked, work } from '../../src/contract/contract';
import { eventTopic, queueKeepMs } from '../../src/work/topics';

const [hour, day] = [3_600_000, 86_400_000];
const Any = unchecked<unknown>();

test('the events topic keeps its records for the longest time that an entry of the module requires', () => {
  const short = defineModule('short', { a: event(Any, { keepMs: hour }), b: event(Any, { keepMs: 2 * hour }) });
  expect(eventTopic('t', short.a, day).keepMs).toBe(2 * hour);
  const mixed = defineModule('mixed', { a: event(Any, { keepMs: hour }), b: event(Any) });
  expect(eventTopic('t', mixed.a, day).keepMs).toBe(day);
  const long = defineModule('long', { a: event(Any, { keepMs: 30 * day }), b: event(Any) });
  expect([eventTopic('t', long.b, day).keepMs, eventTopic('t', long.b).keepMs]).toEqual([30 * day, 30 * day]);
});

test('entries without keepMs are kept for the time of the bus, and jobs change no events topic', () => {
  const plain = defineModule('plain', { a: event(Any), job: work(Any, { keepMs: 30 * day }) });
  expect(eventTopic('t', plain.a, day).keepMs).toBe(day);
  expect(eventTopic('t', plain.a, 2 * day).keepMs).toBe(2 * day);
  expect(eventTopic('t', plain.a).keepMs).toBe(7 * day);
});

test('a queue keeps its settled jobs for the longest time of its entries', () => {
  const { a, b, c } = defineModule('jobs', {
    a: work(Any, { keepMs: hour }),
    b: work(Any, { keepMs: 2 * hour }),
    c: work(Any),
  });
  expect([[a], [a, b], [b, c], [c]].map((entries) => queueKeepMs(entries, day))).toEqual([hour, 2 * hour, day, day]);
});
