import { Window } from '../../src/delivery/window';

test('sums the last minute, and the last seconds of it', () => {
  const window = new Window();
  for (let second = 0; second < 120; second++) window.add(1_000 * second + 500);
  expect(window.sum(119_900)).toBe(60);
  expect(window.sum(119_900, 10)).toBe(10);
  window.add(119_900, 5);
  expect(window.sum(119_900, 1)).toBe(6);
});

test('forgets counts after a minute, also without further use', () => {
  const window = new Window();
  window.add(0, 7);
  expect(window.sum(59_999)).toBe(7);
  expect(window.sum(60_000)).toBe(0);
  window.add(60_000);
  expect(window.sum(3_600_000)).toBe(0);
});

test('counts in the newest second while the clock is a little behind it, and starts again after a large step back', () => {
  const window = new Window();
  window.add(100_000, 3);
  window.add(95_000, 2);
  expect(window.sum(100_000)).toBe(5);
  window.add(10_000);
  expect(window.sum(10_000)).toBe(1);
});
