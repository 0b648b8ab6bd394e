import type { Clock } from '../../src/base/clock';
import { idMaker, incarnation } from '../../src/format/id';
import { heavy } from '../heavy';

function clockAt(start: number): Clock & { ms: number } {
  return { ms: start, now: () => clock.ms, mono: () => 0, after: () => ({ cancel: () => undefined }) };
  // `now` above reads the object that the caller changes.
}
let clock: Clock & { ms: number };
const seeded = (seed: number) => ({
  next: () => (seed = (seed * 16807) % 2147483647) / 2147483647,
});

describe('idMaker', () => {
  beforeEach(() => {
    clock = clockAt(1_763_812_800_000);
  });

  it('makes ids that sort in creation order, up to a thousand in a millisecond', () => {
    const next = idMaker(clock, seeded(1));
    const ids = Array.from({ length: 3000 }, (_, i) => {
      if (i % 1000 === 0) clock.ms++;
      return next();
    });
    expect(ids.join()).toBe(ids.toSorted().join()); // one string comparison is faster
    expect(new Set(ids).size).toBe(3000);
    expect(ids[0]).toMatch(/^[0-9a-hjkmnp-tv-z]{26}$/);
  });

  it('keeps ids increasing when the clock is set back', () => {
    const next = idMaker(clock, seeded(1));
    const before = next();
    clock.ms -= 60_000;
    const after = next();
    expect(after > before).toBe(true);
  });

  heavy('keeps the order with more ids in a millisecond than it has numbers', () => {
    const next = idMaker(clock, seeded(1));
    let last = '';
    let rising = 0;
    for (let i = 0; i < 100_000; i++) {
      const id = next();
      if (id > last) rising++;
      last = id;
    }
    clock.ms++;
    expect(rising).toBe(100_000);
    expect(next() > last).toBe(true);
  });

  it('makes ids that sort by time across makers', () => {
    const first = idMaker(clock, seeded(99))();
    clock.ms += 1;
    expect(idMaker(clock, seeded(3))() > first).toBe(true);
  });

  it('makes different ids in two makers in the same millisecond', () => {
    expect(idMaker(clock, seeded(1))()).not.toBe(idMaker(clock, seeded(2))());
  });
});

describe('incarnation', () => {
  it('is 16 hex digits', () => {
    expect(incarnation(seeded(5))).toMatch(/^[0-9a-f]{16}$/);
    expect(incarnation(seeded(5))).not.toBe(incarnation(seeded(6)));
  });
});
