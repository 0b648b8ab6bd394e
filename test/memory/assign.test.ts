import { assign } from '../../src/memory/assign';
import { seededRandom } from '../../src/memory/clock';

describe('assign', () => {
  it('spreads partitions evenly', () => {
    expect(assign([null, null, null, null], ['a', 'b'])).toEqual(['a', 'a', 'b', 'b']);
    expect(assign([null, null], ['a', 'b', 'c'])).toEqual(['a', 'b']);
    expect(assign(['a', 'b'], [])).toEqual([null, null]);
  });

  it('keeps partitions where they are and moves no more than it must, for any history', () => {
    const random = seededRandom(3);
    const pick = (below: number): number => Math.floor(random.next() * below);
    let members = ['m0'];
    let current: (string | null)[] = Array.from({ length: 12 }, () => null);
    for (let round = 0; round < 500; round++) {
      members = Array.from({ length: 20 }, (_, n) => `m${n}`).filter((member) =>
        members.includes(member) ? pick(10) > 0 : pick(15) === 0,
      );
      const next = assign(current, members);
      const counts = members.map((member) => next.filter((owner) => owner === member).length);
      expect(next.includes(null)).toBe(members.length === 0);
      expect(Math.max(0, ...counts) - Math.min(12, ...counts)).toBeLessThanOrEqual(1);
      const moved = next.filter((owner, partition) => owner !== current[partition]).length;
      expect(moved).toBe(leastMoves(current, members));
      current = next;
    }
  });
});

/** Partitions that must move: those without a living owner, and what an owner has above its even share. */
function leastMoves(current: readonly (string | null)[], members: readonly string[]): number {
  if (members.length === 0) return current.filter((owner) => owner !== null).length;
  const base = Math.floor(current.length / members.length);
  let extras = current.length % members.length;
  let kept = 0;
  for (const member of members) {
    const count = current.filter((owner) => owner === member).length;
    kept += Math.min(count, base);
    if (count > base && extras > 0) {
      kept++;
      extras--;
    }
  }
  return current.length - kept;
}
