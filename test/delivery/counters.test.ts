import { openCounters } from '../../src/delivery/counters';

test('counts the last minute by entry and ending, with the times of handlers and of waiting', () => {
  let nowMs = 1_000_000;
  const counters = openCounters({ now: () => nowMs });
  const resize = counters.of('photos.resize');
  for (let n = 0; n < 20; n++) {
    resize?.received(nowMs);
    resize?.started(nowMs + 40, nowMs);
    resize?.ended(nowMs + 240, 200, n % 4 === 0 ? 'failed' : 'done');
    nowMs += 1_000;
  }
  counters.of('photos.list')?.refused(nowMs);
  const none = { failures: 0, parked: 0, refused: 0 };
  const [first, second] = counters.read();
  expect(first).toEqual({
    entry: 'photos.resize',
    windowMs: 20_000,
    in: 20,
    done: 15,
    failed: 5,
    ...none,
    handlerMs: { p50Ms: 200, p99Ms: 200 },
    queueMs: { p50Ms: 40, p99Ms: 40 },
  });
  expect(second).toMatchObject({ entry: 'photos.list', windowMs: 1_000, in: 0, refused: 1, handlerMs: null });
  nowMs += 60_000;
  expect(counters.read()[0]).toMatchObject({ windowMs: 60_000, in: 0, done: 0, failed: 0 });
});

test('counts at most 500 entries', () => {
  const counters = openCounters({ now: () => 0 });
  for (let n = 0; n < 500; n++) counters.of(`photos.e${n}`);
  expect(counters.of('photos.more')).toBeUndefined();
  expect(counters.of('photos.e1')).toBe(counters.of('photos.e1'));
  expect(counters.read()).toHaveLength(500);
});
