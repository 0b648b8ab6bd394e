import { createSeen } from '../../src/delivery/sender-positions';

const stamp = (incarnation: string, position: number) => ({ incarnation, position });

test('a position at or below the last one of its sender is not fresh', () => {
  const seen = createSeen();
  expect(seen.fresh(stamp('a', 2))).toBe(true);
  expect([seen.fresh(stamp('a', 2)), seen.fresh(stamp('a', 1)), seen.fresh(stamp('b', 1))]).toEqual([
    false,
    false,
    true,
  ]);
  expect([seen.passed(stamp('a', 1)), seen.passed(stamp('a', 3)), seen.passed(undefined)]).toEqual([
    true,
    false,
    false,
  ]);
});

test('the sender that was silent longest is forgotten at the limit', () => {
  const seen = createSeen(2);
  for (const one of [stamp('a', 1), stamp('b', 1), stamp('a', 2), stamp('c', 1)]) seen.fresh(one);
  expect(seen.fresh(stamp('a', 2))).toBe(false);
  expect(seen.passed(stamp('b', 1))).toBe(false);
});
