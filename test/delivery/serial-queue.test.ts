import { createSerialQueue } from '../../src/delivery/serial-queue';
import { createSenderPositions } from '../../src/delivery/sender-positions';

const max = { count: 3, bytes: 100 };

test('turns of one name run in order, turns of different names concurrently', async () => {
  const queue = createSerialQueue(max);
  const steps: string[] = [];
  const turn = (name: string) => async (): Promise<void> => {
    steps.push(`${name} starts`);
    await Promise.resolve();
    steps.push(`${name} ends`);
  };
  queue.take('a', 10, turn('a1'));
  queue.take('a', 20, turn('a2'));
  queue.take('b', 30, turn('b1'));
  expect(queue.capacity).toMatchObject({ count: 3, bytes: 60 });
  expect(queue.share('a')).toMatchObject({ count: 2, bytes: 30 });
  await queue.capacity.below(0);
  expect(steps).toEqual(['a1 starts', 'b1 starts', 'a1 ends', 'b1 ends', 'a2 starts', 'a2 ends']);
  expect([queue.capacity.count, queue.capacity.bytes, queue.share('a').count]).toEqual([0, 0, 0]);
});

test('a turn beyond the count or bytes of all names is refused', () => {
  const hang = (): Promise<void> => new Promise(() => {});
  const few = createSerialQueue(max);
  expect(['a', 'b', 'c', 'd'].map((name) => few.take(name, 1, hang))).toEqual([true, true, true, false]);
  const large = createSerialQueue(max);
  expect([60, 60, 40].map((bytes) => large.take('a', bytes, hang))).toEqual([true, false, true]);
});

test('a position is fresh once, and lower ones are not fresh after it', () => {
  const positions = createSenderPositions();
  const stamp = (position: number) => ({ incarnation: '0123456789abcdef', position });
  expect([
    positions.isNew(stamp(3)),
    positions.isNew(stamp(3)),
    positions.isNew(stamp(2)),
    positions.isNew(stamp(4)),
  ]).toEqual([true, false, false, true]);
  expect(positions.isPassed(stamp(4))).toBe(true);
  expect(positions.isPassed(stamp(5))).toBe(false);
  expect(positions.isNew({ incarnation: 'fedcba9876543210', position: 1 })).toBe(true);
});
