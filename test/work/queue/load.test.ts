import { virtualClock } from '../../../src/memory';
import { Load, type LoadState } from '../../../src/work/queue/load';

/** A queue of one partition, whose log and handlers the test moves. `arrive` and `settle` return nothing. */
function open(more: Partial<LoadState> = {}) {
  const clock = virtualClock();
  const queue = { end: 1_000, settled: 0, looks: 0, fails: false };
  const state = (): LoadState => {
    const waiting = queue.end - 1_000 - queue.settled;
    const rest = { inBackoff: 0, share: 1, isHeld: false, handlerMs: 0, ...more };
    return { waiting, settled: queue.settled, ...rest };
  };
  const load = new Load({
    clock,
    log: {
      bounds: async () => {
        queue.looks++;
        if (queue.fails) throw new Error('away');
        return [{ partition: 0, start: 0, end: queue.end }];
      },
    },
    topic: 'photos.work',
    // With a backlog, an instance reads only 32 messages ahead.
    partitions: () => [{ number: 0, next: Math.min(queue.end, 1_000 + queue.settled + 32) }],
    state,
  });
  /** Passes seconds, in each of which messages arrive and are settled, as far as there are any. */
  async function seconds(count: number, arrive: number, settle: number): Promise<void> {
    for (let n = 0; n < count; n++) {
      queue.end += arrive;
      queue.settled = Math.min(queue.end - 1_000, queue.settled + settle);
      await clock.advance(1_000);
    }
  }
  return { clock, queue, load, seconds };
}

test('counts what arrived in the log, although the instance does not read it yet', async () => {
  const { load, seconds } = open();
  await seconds(60, 25, 1);
  const { windowMs, in: arrived, out } = load.read();
  expect(Math.abs(arrived / (windowMs / 1_000) - 25)).toBeLessThan(2.5);
  expect(out / (windowMs / 1_000)).toBeCloseTo(1, 1);
  await seconds(120, 0, 100);
  expect(load.read()).toMatchObject({ in: 0, growing: null });
});

test('reads the log only while messages wait', async () => {
  const { queue, load, seconds } = open();
  await seconds(60, 10, 10);
  expect(queue.looks).toBe(0);
  expect(load.read().in / load.read().out).toBeCloseTo(1, 1);
  load.end();
});

test('grows after 10 s, and no longer 30 s after it last grew', async () => {
  const { load, seconds } = open();
  const grew: boolean[] = [];
  const record = async (count: number, arrive: number, settle: number): Promise<void> => {
    for (let n = 0; n < count; n++) {
      await seconds(1, arrive, settle);
      grew.push(load.read().growing !== null);
    }
  };
  await record(10, 10, 10);
  await record(60, 25, 1);
  await record(100, 1, 25);
  const from = grew.indexOf(true);
  const to = grew.lastIndexOf(true);
  expect(grew.slice(from, to + 1)).not.toContain(false);
  expect(from).toBeGreaterThanOrEqual(10 + 10 - 1);
  expect(from).toBeLessThanOrEqual(10 + 16);
  expect(to).toBeGreaterThanOrEqual(70 + 24);
  expect(to).toBeLessThanOrEqual(70 + 30 + 10); // 30 s, and two samples
});

test('does not grow by a burst that is handled, nor by as many messages as are handled', async () => {
  const { load, seconds } = open();
  await seconds(1, 500, 0);
  for (let n = 0; n < 90; n++) {
    await seconds(1, 4, 5);
    expect(load.read()).toMatchObject({ growing: null, stuck: null });
  }
});

test('grows by a few messages a minute', async () => {
  const { load, seconds } = open();
  for (let n = 0; n < 60; n++) {
    await seconds(1, 2, 1);
    await seconds(1, 1, 0);
  }
  expect(load.read().growing).not.toBeNull();
});

test('is stuck when messages wait and none is settled for 30 s, or for three times the handler time', async () => {
  const { clock, load, seconds } = open();
  await seconds(10, 1, 1);
  await seconds(1, 5, 0);
  await seconds(24, 0, 0);
  expect(load.read().stuck).toBeNull();
  await seconds(15, 0, 0);
  expect(load.read().stuck?.sinceMs).toBeLessThanOrEqual(clock.now() - 30_000);
  await seconds(5, 0, 1);
  expect(load.read().stuck).not.toBeNull();
  await seconds(40, 1, 1);
  expect(load.read().stuck).toBeNull();
  const slow = open({ handlerMs: 60_000 });
  await slow.seconds(1, 5, 0);
  await slow.seconds(150, 0, 0);
  expect(slow.load.read().stuck).toBeNull();
  await slow.seconds(50, 0, 0);
  expect(slow.load.read().stuck).not.toBeNull();
});

test('is not stuck while an entry is paused, and continues while the log does not answer', async () => {
  const { load, seconds } = open({ isHeld: true });
  await seconds(200, 1, 0);
  expect(load.read().stuck).toBeNull();
  const away = open();
  away.queue.fails = true;
  await away.seconds(60, 1, 0);
  expect(away.load.read().stuck).not.toBeNull();
});
