import { createTurns } from '../../src/delivery/turns';
import { createSeen } from '../../src/delivery/seen';

test('what has one name runs one after the other, different names side by side', async () => {
  const turns = createTurns();
  const steps: string[] = [];
  const turn = (name: string) => async (): Promise<void> => {
    steps.push(`${name} starts`);
    await Promise.resolve();
    steps.push(`${name} ends`);
  };
  turns.take('a', turn('a1'));
  turns.take('a', turn('a2'));
  turns.take('b', turn('b1'));
  expect(turns.waiting).toBe(3);
  await turns.below(1);
  expect(steps).toEqual(['a1 starts', 'b1 starts', 'a1 ends', 'b1 ends', 'a2 starts', 'a2 ends']);
  expect(turns.waiting).toBe(0);
});

test('idle resolves at once when nothing waits', async () => {
  await expect(createTurns().below(1)).resolves.toBeUndefined();
});

test('a position is fresh once, and a lower one never after it', () => {
  const seen = createSeen();
  const stamp = (position: number) => ({ incarnation: '0123456789abcdef', position });
  expect([seen.fresh(stamp(3)), seen.fresh(stamp(3)), seen.fresh(stamp(2)), seen.fresh(stamp(4))]).toEqual([
    true,
    false,
    false,
    true,
  ]);
  expect(seen.passed(stamp(4))).toBe(true);
  expect(seen.passed(stamp(5))).toBe(false);
  expect(seen.fresh({ incarnation: 'fedcba9876543210', position: 1 })).toBe(true);
});
