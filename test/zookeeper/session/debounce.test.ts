import { debounce } from '../../../src/zookeeper/session/debounce';
import { openTime } from '../time';

const parts = { random: { next: () => 0.5 }, jitterMs: () => 20, gapMs: () => 100 };

test('requests before a run starts share that run', async () => {
  const [time, runs] = [openTime(), [] as number[]];
  const soon = debounce({ ...parts, clock: time.clock }, async () => void runs.push(time.clock.mono()));
  for (let n = 0; n < 5; n++) soon.request();
  await time.pass(9);
  expect(runs).toEqual([]);
  await time.pass(1);
  expect(runs).toEqual([10]);
  await time.pass(1_000);
  expect(runs).toEqual([10]);
});

test('a run starts after the gap at the earliest, and never during another run', async () => {
  const time = openTime();
  const runs: (() => void)[] = [];
  const soon = debounce({ ...parts, clock: time.clock }, () => new Promise((done) => runs.push(done)));
  soon.request();
  await time.pass(10);
  soon.request();
  soon.request();
  await time.pass(500);
  expect(runs).toHaveLength(1);
  runs[0]?.();
  await time.pass(0);
  await time.pass(10);
  expect(runs).toHaveLength(2);
  runs[1]?.();
  await time.pass(0);
  soon.request();
  await time.pass(109);
  expect(runs).toHaveLength(2);
  await time.pass(1);
  expect(runs).toHaveLength(3);
});

test('no run starts after stop', async () => {
  const [time, runs] = [openTime(), [] as number[]];
  const soon = debounce({ ...parts, clock: time.clock }, async () => void runs.push(time.clock.mono()));
  soon.request();
  soon.stop();
  soon.request();
  await time.pass(1_000);
  expect(runs).toEqual([]);
});
