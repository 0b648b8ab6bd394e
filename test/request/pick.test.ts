import fc from 'fast-check';
import { seededRandom } from '../../src/memory';
import { orderByKey, pickByKey, pickLessBusy } from '../../src/request/pick';
import { instanceOf } from '../support/instances';

const targets = (loads: readonly number[], silentSinceMs: readonly (number | undefined)[] = []) =>
  loads.map((load, i) => ({ instance: instanceOf(`m#${i}`), load, silentSinceMs: silentSinceMs[i] }));

/** Counts how often each target is chosen in `count` draws. */
function draws(all: ReturnType<typeof targets>, count: number, seed = 7): number[] {
  const random = seededRandom(seed);
  const counts = all.map(() => 0);
  for (let i = 0; i < count; i++) {
    const picked = pickLessBusy(all, random, 10_000);
    if (picked) counts[all.indexOf(picked)]!++;
  }
  return counts;
}

test('the busier one of two is never chosen', () => {
  expect(draws(targets([0, 50]), 1_000)).toEqual([1_000, 0]);
  expect(draws(targets([3, 2]), 1_000)).toEqual([0, 1_000]);
});

test('instances that are equally busy are chosen equally often', () => {
  for (const size of [2, 3, 10])
    for (const count of draws(targets(Array(size).fill(1)), 1_000 * size)) {
      expect(Math.abs(count - 1_000)).toBeLessThan(120);
    }
});

test('the busiest of several is never chosen, and the idlest most often', () => {
  fc.assert(
    // With more than four, the shares of the two idlest are so close that chance decides in 1,000 draws.
    fc.property(fc.uniqueArray(fc.nat(100), { minLength: 3, maxLength: 4 }), fc.integer(), (loads, seed) => {
      const counts = draws(targets(loads), 1_000, seed);
      expect(counts[loads.indexOf(Math.max(...loads))]).toBe(0);
      expect(Math.max(...counts)).toBe(counts[loads.indexOf(Math.min(...loads))]);
    }),
    { numRuns: 20 },
  );
});

test('an instance silent for 2 s is chosen only if all others are silent too', () => {
  expect(draws(targets([0, 50], [8_000, undefined]), 100)).toEqual([0, 100]);
  expect(draws(targets([0, 50], [8_001, 9_999]), 100)).toEqual([100, 0]);
  expect(draws(targets([0, 0, 50, 0], [1, 2, undefined, 3]), 100)).toEqual([0, 0, 100, 0]);
});

test('the less busy instance is chosen when all are silent', () => {
  expect(draws(targets([5, 1], [0, 0]), 100)).toEqual([0, 100]);
});

test('a key keeps its instance when another one leaves', () => {
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 2, max: 20 }), fc.nat(), (key, size, gone) => {
      const all = targets(Array.from({ length: size }, () => 0));
      const before = pickByKey(all, key);
      const leaver = all[gone % size];
      const after = pickByKey(
        all.filter((one) => one !== leaver),
        key,
      );
      return before === leaver || after === before;
    }),
  );
});

test('orderByKey lists instances in the order in which pickByKey would replace leaving ones', () => {
  const all = targets(Array(20).fill(0));
  const order = orderByKey(all, 'alps');
  for (let left = [...all], n = 0; left.length > 0; n++) {
    const best = pickByKey(left, 'alps');
    expect(order[n]).toBe(best);
    left = left.filter((one) => one !== best);
  }
});

test('keys spread evenly over instances within 15 %', () => {
  const all = targets([0, 0, 0, 0]);
  const counts = new Map<string, number>();
  for (let i = 0; i < 4_000; i++) {
    const name = pickByKey(all, `key-${i}`)?.instance.name ?? '';
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  for (const count of counts.values()) expect(Math.abs(count - 1_000)).toBeLessThan(150);
});

test('pickLessBusy and pickByKey return undefined without instances', () => {
  expect(pickLessBusy([], seededRandom(1), 0)).toBeUndefined();
  expect(pickByKey([], 'k')).toBeUndefined();
});
