import { virtualClock } from '../../../src/memory';
import type { Stored } from '../../../src/ports/log';
import { emptyState } from '../../../src/work/progress/commit-state';
import { PartitionState } from '../../../src/work/queue/partition-state';

const record = (offset: number, timeMs = offset): Stored => ({
  partition: 0,
  offset,
  key: null,
  value: Buffer.from('{}'),
  headers: {},
  timeMs,
});
const stamp = (position: number) => ({ incarnation: '9f86d081884c7d65', position });
const none: ReadonlySet<number> = new Set();

/** A state at offset 0 that has read `count` records of one sender. */
function read(count: number): PartitionState {
  const state = new PartitionState({ clock: virtualClock(), commitMs: 500 }, { offset: 0, state: emptyState(0) });
  for (let n = 0; n < count; n++) {
    expect(state.repeats(record(n), stamp(n + 1))).toBe(false);
    state.watermark.see(n, stamp(n + 1));
  }
  return state;
}

test('the progress has the settled ranges, the running messages and the newest record', () => {
  const state = read(4);
  expect(state.settle(2)).toBe(false); // the watermark waits for the offsets 0 and 1
  expect(state.settle(0)).toBe(true);
  expect(state.progress(new Set([1]), true)).toMatchObject({
    offset: 1,
    state: {
      seen: 4,
      newest: { offset: 3, timeMs: 3 },
      ranges: [{ from: 2, to: 3 }],
      tried: [{ offset: 1, running: true }],
    },
  });
});

test('a repeated record is settled at once', () => {
  const state = read(2);
  expect(state.repeats(record(2), stamp(2))).toBe(true);
  state.settle(0);
  state.settle(1);
  expect(state.progress(none, true).offset).toBe(3);
});

test('after a cut, the state ends there and accepts the stamps of unhandled messages again', () => {
  const state = read(3);
  state.settle(0);
  state.settle(1);
  state.settle(2);
  state.cut(1);
  expect(state.progress(none, false)).toMatchObject({ offset: 1, state: { seen: 1 } });

  const unhandled = read(3);
  unhandled.cut(2);
  expect(unhandled.repeats(record(2), stamp(3))).toBe(false);
  expect(unhandled.newest).toEqual({ offset: 2, timeMs: 2 });
  unhandled.forgetNewest();
  expect(unhandled.newest).toBeUndefined();
});
