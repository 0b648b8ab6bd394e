import fc from 'fast-check';
import { createPace } from '../../src/delivery/limiter';

test('at most concurrency handlers run at once', () => {
  const pace = createPace({ concurrency: 2 });
  pace.started(0);
  pace.started(0);
  expect(pace.mayStart(0)).toBe(false);
  pace.ended();
  expect(pace.mayStart(0)).toBe(true);
});

test('at most twice perSecond handlers start within any second', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 300 }),
      (perSecond, gaps) => {
        const pace = createPace({ concurrency: 1_000, perSecond });
        const starts: number[] = [];
        let nowMs = 0;
        for (const gap of gaps) {
          nowMs += gap;
          if (!pace.mayStart(nowMs)) continue;
          pace.started(nowMs);
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
      const pace = createPace({ concurrency: 10_000, perSecond });
      for (let i = 0; pace.mayStart(atMs) && i <= perSecond; i++) pace.started(atMs);
      return pace.mayStart(atMs + pace.delayMs(atMs));
    }),
  );
});

test('a change takes effect with the next start', () => {
  const pace = createPace({ concurrency: 1 });
  pace.started(0);
  pace.change({ concurrency: 3, perSecond: undefined });
  expect(pace.mayStart(0)).toBe(true);
  expect(pace.concurrency).toBe(3);
});
