import fc from 'fast-check';
import { createLimiter } from '../../src/delivery/limiter';

test('at most concurrency handlers run at once', () => {
  const limiter = createLimiter({ concurrency: 2 });
  limiter.started(0);
  limiter.started(0);
  expect(limiter.mayStart(0)).toBe(false);
  limiter.ended();
  expect(limiter.mayStart(0)).toBe(true);
});

test('at most twice perSecond handlers start within any second', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 300 }),
      (perSecond, gaps) => {
        const limiter = createLimiter({ concurrency: 1_000, perSecond });
        const starts: number[] = [];
        let nowMs = 0;
        for (const gap of gaps) {
          nowMs += gap;
          if (!limiter.mayStart(nowMs)) continue;
          limiter.started(nowMs);
          starts.push(nowMs);
        }
        return starts.every(
          (at) => starts.filter((other) => other > at - 1_000 && other <= at).length <= 2 * perSecond,
        );
      },
    ),
  );
});

test('a start is allowed after delayMs', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000 }), fc.integer({ min: 0, max: 5_000 }), (perSecond, atMs) => {
      const limiter = createLimiter({ concurrency: 10_000, perSecond });
      for (let i = 0; limiter.mayStart(atMs) && i <= perSecond; i++) limiter.started(atMs);
      return limiter.mayStart(atMs + limiter.delayMs(atMs));
    }),
  );
});

test('a change takes effect with the next start', () => {
  const limiter = createLimiter({ concurrency: 1 });
  limiter.started(0);
  limiter.change({ concurrency: 3, perSecond: undefined });
  expect(limiter.mayStart(0)).toBe(true);
  expect(limiter.concurrency).toBe(3);
});
