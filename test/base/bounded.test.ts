import fc from 'fast-check';
import { BoundedQueue, Capacity, RecentSet } from '../../src/base/bounded';

const max = { count: 3, bytes: 100 };

describe('a capacity', () => {
  test('rejects items beyond its count or bytes, or those of its whole', () => {
    const whole = new Capacity({ count: 10, bytes: 120 });
    const [one, two] = [new Capacity(max, whole), new Capacity(max, whole)];
    one.add(90);
    expect([one.fits(10), one.fits(11), one.fits(0, 2), one.fits(0, 3)]).toEqual([true, false, true, false]);
    expect([two.fits(30), two.fits(31)]).toEqual([true, false]);
    one.remove(90);
    expect([one.count, one.bytes, whole.count, whole.bytes]).toEqual([0, 0, 0, 0]);
  });

  test('accepts one oversized item while it is empty, and none beside it', () => {
    const capacity = new Capacity(max);
    expect(capacity.fits(500)).toBe(true);
    capacity.add(500);
    expect(capacity.fits(0)).toBe(false);
  });

  test('fits a requested share of its limits, and its reserve in a full whole', () => {
    const whole = new Capacity({ count: 10, bytes: 100 });
    const [one, two] = [
      new Capacity({ count: 8, bytes: 100 }, whole),
      new Capacity({ count: 8, bytes: 100 }, whole, 30),
    ];
    one.add(50);
    expect([one.fits(1, 1, 0.5), one.fits(50, 1, 1)]).toEqual([false, true]);
    one.add(50);
    expect([one.fits(1), two.fits(20)]).toEqual([false, true]);
    two.add(40);
    expect(two.fits(1)).toBe(false);
    expect(two.overloaded('x', 'packets', 1, 1).message).toBe(
      'x: the queue has no room for more (3 of 10 packets, 140 of 100 bytes in all)',
    );
  });

  test('resolves below() when the share is reached, and not before', async () => {
    const capacity = new Capacity({ count: 4, bytes: 100 });
    for (let n = 0; n < 4; n++) capacity.add(25);
    const reached: string[] = [];
    const waits = [
      capacity.below(0.5).then(() => reached.push('half')),
      capacity.below(0).then(() => reached.push('empty')),
    ];
    capacity.remove(25);
    await Promise.resolve();
    expect(reached).toEqual([]);
    capacity.remove(25);
    await Promise.resolve();
    expect(reached).toEqual(['half']);
    capacity.remove(50, 2);
    await Promise.all(waits);
    expect(reached).toEqual(['half', 'empty']);
    await capacity.below(0);
  });

  test('describes itself, and its error has every figure', () => {
    const capacity = new Capacity(max);
    capacity.add(40);
    expect(capacity.overloaded('photos.add at photos#1', 'requests', 250)).toMatchObject({
      code: 'Overloaded',
      message: 'photos.add at photos#1: the queue has no room for more (1 of 3 requests, 40 of 100 bytes)',
      details: { retryAfterMs: 250, waiting: 1, limit: 3, bytes: 40, limitBytes: 100 },
    });
  });
});

describe('a bounded queue', () => {
  test('holds the same items in the same order as an array', () => {
    const step = fc.oneof(fc.constant('shift' as const), fc.nat(50), fc.record({ removed: fc.nat(30) }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const queue = new BoundedQueue<number>({ count: 5, bytes: 100 });
        const placed: { item: number; place: object | undefined }[] = [];
        let expected: { item: number; bytes: number }[] = [];
        steps.forEach((one, item) => {
          if (one === 'shift') expect(queue.shift()).toBe(expected.shift()?.item);
          else if (typeof one === 'number') {
            const place = queue.push(item, one);
            const held = expected.reduce((sum, { bytes }) => sum + bytes, 0);
            expect(place !== undefined).toBe(expected.length < 5 && held + one <= 100);
            if (place) expected.push({ item, bytes: one });
            placed.push({ item, place });
          } else {
            const { item: removed, place } = placed[one.removed] ?? {};
            if (!place) return;
            const isIn = expected.some((other) => other.item === removed);
            // `push` returned it.
            expect(queue.remove(place as never)).toBe(isIn);
            expected = expected.filter((other) => other.item !== removed);
          }
          expect(queue.items()).toEqual(expected.map((other) => other.item));
          expect([queue.first, queue.size]).toEqual([expected[0]?.item, expected.length]);
        });
      }),
    );
  });

  test('does not remove the item of another queue', () => {
    const [one, two] = [new BoundedQueue<string>(max), new BoundedQueue<string>(max)];
    const place = one.push('a', 1);
    expect(place && two.remove(place)).toBe(false);
    expect([one.size, two.size]).toEqual([1, 0]);
  });
});

test('a recent set holds between the newest half of its limit and the limit', () => {
  const set = new RecentSet<number>(10);
  for (let n = 0; n < 200; n++) {
    set.add(n);
    const known = Array.from({ length: n + 1 }, (_, one) => one).filter((one) => set.has(one));
    expect(known).toEqual(known.toSorted((a, b) => a - b).slice(-known.length));
    expect(known.at(-1)).toBe(n);
    expect(known.length).toBeGreaterThanOrEqual(Math.min(5, n + 1));
    expect(known.length).toBeLessThanOrEqual(10);
  }
  set.delete(199);
  expect(set.has(199)).toBe(false);
});
