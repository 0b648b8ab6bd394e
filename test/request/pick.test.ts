import fc from 'fast-check';
import { seededRandom } from '../../src/memory';
import type { Instance } from '../../src/ports/registry';
import { pickByKey, pickLessBusy } from '../../src/request/pick';

const instance = (name: string): Instance => ({
  name,
  module: 'm',
  address: name,
  incarnation: name,
  host: 'h',
  pid: 1,
  sinceMs: 0,
  version: '',
  serves: {},
  leaving: false,
});
const targets = (sizes: readonly number[]) =>
  sizes.map((size, i) => ({ instance: instance(`m#${i}`), open: { size } }));

test('the busier one of two is not chosen', () => {
  const two = targets([0, 50]);
  const counts = [0, 0];
  const random = seededRandom(7);
  for (let i = 0; i < 1_000; i++) {
    const picked = pickLessBusy(two, random);
    if (picked) counts[two.indexOf(picked)]!++;
  }
  expect(counts[0]).toBeGreaterThan(700);
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

test('keys spread over instances about evenly', () => {
  const all = targets([0, 0, 0, 0]);
  const counts = new Map<string, number>();
  for (let i = 0; i < 4_000; i++) {
    const name = pickByKey(all, `key-${i}`)?.instance.name ?? '';
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  for (const count of counts.values()) expect(Math.abs(count - 1_000)).toBeLessThan(150);
});

test('nobody to choose from is nobody', () => {
  expect(pickLessBusy([], seededRandom(1))).toBeUndefined();
  expect(pickByKey([], 'k')).toBeUndefined();
});
