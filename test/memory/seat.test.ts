import { deferred } from '../../src/base/lifecycle';
import { virtualClock } from '../../src/memory';
import type { Life } from '../../src/memory/life';
import { Seat } from '../../src/memory/seat';

/** A member whose process only numbers it and runs its callbacks. */
function seatOf(serves?: readonly string[]): Seat {
  let numbers = 0;
  const life = { name: 'a', nextNumber: () => ++numbers, bind: <T>(run: T): T => run } as unknown as Life;
  return new Seat(life, { onAssigned: () => undefined, onRevoked: async () => undefined }, 10_000, serves);
}

test('steps of one partition run one after the other, those of another one concurrently', async () => {
  const seat = seatOf(['photos.resize']);
  const steps: string[] = [];
  const revoked = deferred<void>();
  seat.inTurn(0, async () => {
    await revoked.promise;
    steps.push('revoked');
  });
  seat.inTurn(0, () => void steps.push('assigned'));
  seat.inTurn(1, () => void steps.push('other'));
  expect(steps).toEqual(['other']);
  revoked.resolve();
  await virtualClock().advance(0);
  expect(steps).toEqual(['other', 'revoked', 'assigned']);
  expect(seat.id).toBe('a/1');
  expect(seat.serves).toEqual(new Set(['photos.resize']));
});
