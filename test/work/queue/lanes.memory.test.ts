/** Memory that lanes hold for partitions that have moved: counted as items that the garbage collector cannot free. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { cpuMs, quickest } from '../../elapsed';
import { heavy } from '../../heavy';
import { openLanes } from '../../../src/work/queue/lanes';
import type { Item } from '../../../src/work/message';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void; // what the flag adds

let offset = 0;
const item = (lane: string | null, entry = 'a', partition = 0): Item => ({
  lane,
  entry,
  partition,
  offset: offset++,
  runsIn: undefined,
});
const moves = 15;
const each = 200;

/**
 * Returns how many items that `fill` adds are still held after the partition was dropped and refilled `moves` times.
 */
async function heldAfterMoves(
  fill: (round: number, keep: (one: Item) => Item) => void,
  drop: () => void,
): Promise<number> {
  const refs: WeakRef<Item>[] = [];
  for (let round = 0; round < moves; round++) {
    fill(round, (one) => (refs.push(new WeakRef(one)), one));
    drop();
  }
  await new Promise((resolve) => setImmediate(resolve)); // a dereferenced WeakRef holds its target until the turn ends
  collect();
  return refs.filter((ref) => ref.deref() !== undefined).length;
}

test.each([
  ['paused', { concurrency: 0, perSecond: Infinity }],
  ['limited to one message in 1,000 seconds', { concurrency: 9, perSecond: 0.001 }],
])('an entry that is %s holds no items of partitions that have moved', async (_how, limits) => {
  const lanes = openLanes<Item>(new Map([['a', limits]]), () => true);
  lanes.add(item(null));
  lanes.next(0); // the one that may start
  const held = await heldAfterMoves(
    (round, keep) => {
      for (let n = 0; n < each; n++) lanes.add(keep(item(n % 2 ? `k${n % 7}` : null, 'a', round % 3)));
    },
    () => [0, 1, 2].forEach((partition) => lanes.drop(partition)),
  );
  expect(held).toBe(0);
  expect(lanes.waiting).toBe(0);
  expect(lanes.wakeMs(0)).toBeUndefined();
});

test('a handler that never ends holds no waiting items of a moved partition', async () => {
  const lanes = openLanes<Item>(new Map([['a', { concurrency: moves, perSecond: Infinity }]]), () => true);
  const running: Item[] = [];
  const held = await heldAfterMoves(
    (_round, keep) => {
      const hangs = item('k');
      lanes.add(hangs);
      for (let n = 0; n < each; n++) lanes.add(keep(item(n % 2 ? 'k' : `k${n}`)));
      const started = lanes.next(0);
      if (started) running.push(started);
    },
    () => lanes.drop(0),
  );
  expect(running).toHaveLength(moves);
  expect(held).toBe(0);
});

test('lanes release messages in backoff and blocked messages when their partition moves', async () => {
  let may = true;
  const lanes = openLanes<Item>(new Map([['a', { concurrency: 9, perSecond: Infinity }]]), () => may);
  const held = await heldAfterMoves(
    (_round, keep) => {
      may = true;
      for (let n = 0; n < each; n++) lanes.add(keep(item(null)));
      for (let next = lanes.next(0), n = 0; next && n < each / 2; next = lanes.next(0), n++) {
        lanes.again(next, 60_000 + n, 'in-order');
      }
      may = false;
      lanes.next(0);
    },
    () => lanes.drop(0),
  );
  expect(held).toBe(0);
  expect(lanes.inBackoff).toBe(0);
});

heavy('backoff of 120,000 messages takes less than a second, in any order of due times', async () => {
  const count = 120_000;
  const ms = await quickest(1_000, (round) => {
    const lanes = openLanes<Item>(new Map([['a', { concurrency: 2 * count, perSecond: Infinity }]]), () => true);
    const items = Array.from({ length: count }, () => item(null));
    const dueMs = (n: number): number => 1 + (round === 1 ? n : round === 2 ? count - n : (n * 7_919) % count);
    return Promise.resolve(
      cpuMs(() => {
        for (const one of items) lanes.add(one);
        items.forEach((one, n) => {
          if (lanes.next(0) === one) lanes.again(one, dueMs(n), 'in-order');
        });
        expect(lanes.inBackoff).toBe(count);
        let started = 0;
        for (let next = lanes.next(count + 1); next; next = lanes.next(count + 1)) started++;
        expect(started).toBe(count);
      }),
    );
  });
  expect(ms).toBeLessThan(1_000);
});
