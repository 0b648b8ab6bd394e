import * as fc from 'fast-check';
import { Fifo } from '../../../src/work/queue/fifo';
import { Heap } from '../../../src/work/queue/heap';

type Step = { readonly add: number } | 'shift' | { readonly removeMod: number };
const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ add: fc.nat(20) }) },
    { weight: 3, arbitrary: fc.constant('shift' as const) },
    { weight: 1, arbitrary: fc.record({ removeMod: fc.integer({ min: 1, max: 4 }) }) },
  ),
  { maxLength: 200 },
);

test('a heap returns the lowest item first, and equal ones in insertion order', () => {
  fc.assert(
    fc.property(steps, (all: readonly Step[]) => {
      const heap = new Heap<{ readonly at: number; readonly n: number }>();
      let model: { at: number; n: number }[] = [];
      let n = 0;
      for (const step of all) {
        if (step === 'shift') expect(heap.shift()).toEqual(model.shift());
        else if ('add' in step) {
          const item = { at: step.add, n: n++ };
          heap.add(item.at, item);
          model.push(item);
          model.sort((a, b) => a.at - b.at || a.n - b.n);
        } else {
          heap.remove((item) => item.n % step.removeMod === 0);
          model = model.filter((item) => item.n % step.removeMod !== 0);
        }
        expect([heap.size, heap.lowest]).toEqual([model.length, model[0]?.at]);
      }
    }),
  );
});

const ends = fc.array(
  fc.oneof(
    fc.record({ push: fc.nat() }),
    fc.record({ first: fc.nat() }),
    fc.constant('shift' as const),
    fc.record({ removeMod: fc.integer({ min: 1, max: 4 }) }),
  ),
  { maxLength: 200 },
);

test('a fifo returns items put in front first, then pushed ones in order', () => {
  fc.assert(
    fc.property(ends, (all) => {
      const fifo = new Fifo<number>();
      let model: number[] = [];
      for (const step of all) {
        if (step === 'shift') expect(fifo.shift()).toBe(model.shift());
        else if ('push' in step) {
          fifo.push(step.push);
          model.push(step.push);
        } else if ('first' in step) {
          fifo.pushFirst(step.first);
          model.unshift(step.first);
        } else {
          fifo.remove((item) => item % step.removeMod === 0);
          model = model.filter((item) => item % step.removeMod !== 0);
        }
        expect([fifo.size, fifo.first]).toEqual([model.length, model[0]]);
      }
    }),
  );
});
