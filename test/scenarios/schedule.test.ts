import { authorsTicks, eventsOf, faster, runTicks } from './schedule';

test("the author's schedule has 28,765 events in 20 minutes, and 53 a second at its end", () => {
  const ticks = authorsTicks();
  expect(eventsOf(ticks)).toBe(28_765);
  expect([ticks[0], ticks.at(-1)]).toEqual([
    { atMs: 15_000, events: 1 },
    { atMs: 1_219_000, events: 53 },
  ]);
  expect(ticks.filter(({ atMs }) => atMs < 180_000)).toHaveLength(165);
});

test('a faster schedule has the same events in less time, each called once', async () => {
  const ticks = faster(authorsTicks().slice(-2), 40_000);
  const called: number[] = [];
  await runTicks(ticks, (n) => void called.push(n));
  expect(called).toEqual(Array.from({ length: 106 }, (_, n) => n));
});
