import { createSenderPositions } from '../../src/delivery/sender-positions';

const stamp = (incarnation: string, position: number) => ({ incarnation, position });

test('a position at or below the last one of its sender is not fresh', () => {
  const positions = createSenderPositions();
  expect(positions.isNew(stamp('a', 2))).toBe(true);
  expect([positions.isNew(stamp('a', 2)), positions.isNew(stamp('a', 1)), positions.isNew(stamp('b', 1))]).toEqual([
    false,
    false,
    true,
  ]);
  expect([positions.isPassed(stamp('a', 1)), positions.isPassed(stamp('a', 3)), positions.isPassed(undefined)]).toEqual(
    [true, false, false],
  );
});

test('the sender that was silent longest is forgotten at the limit', () => {
  const positions = createSenderPositions(2);
  for (const one of [stamp('a', 1), stamp('b', 1), stamp('a', 2), stamp('c', 1)]) positions.isNew(one);
  expect(positions.isNew(stamp('a', 2))).toBe(false);
  expect(positions.isPassed(stamp('b', 1))).toBe(false);
});
