import { Durations } from '../../src/delivery/durations';

test('returns the median and the 99th percentile with an error of at most 5 %', () => {
  const durations = new Durations();
  expect(durations.read()).toBeNull();
  for (let ms = 1; ms <= 10_000; ms++) durations.add(0, ms);
  const { p50Ms = 0, p99Ms = 0 } = durations.read() ?? {};
  expect(Math.abs(p50Ms / 5_000 - 1)).toBeLessThan(0.05);
  expect(Math.abs(p99Ms / 9_900 - 1)).toBeLessThan(0.05);
});

test.each([0, 0.01, 3_000, 864_000_000])('returns %s ms exactly when all durations are equal', (ms) => {
  const durations = new Durations();
  for (let n = 0; n < 5; n++) durations.add(0, ms);
  expect(durations.read()).toEqual({ p50Ms: ms, p99Ms: ms });
});

test('covers the last one to two generations, and keeps the last durations while none ends', () => {
  const durations = new Durations();
  durations.add(0, 10);
  durations.add(31_000, 1_000);
  const { p50Ms = 0, p99Ms = 0 } = durations.read() ?? {};
  expect([p50Ms, Math.round(p99Ms / 100)]).toEqual([10, 10]);
  durations.add(62_000, 1_000);
  expect(durations.read()).toEqual({ p50Ms: 1_000, p99Ms: 1_000 });
  durations.add(63_000, 1_000);
  expect(durations.read()?.p50Ms).toBe(1_000);
});
