import { assign } from '../../src/embedded/assign';
import { seededRandom } from '../../src/memory/clock';
import { heavy } from '../heavy';

const counts = (targets: readonly (string | undefined)[], members: readonly string[]): number[] =>
  members.map((member) => targets.filter((target) => target === member).length);

describe('assigning partitions to members', () => {
  it('gives everything to the only member', () => {
    expect(assign(['a'], [undefined, undefined, 'gone'])).toEqual(['a', 'a', 'a']);
  });
  it('gives nothing when nobody is there', () => {
    expect(assign([], [undefined, 'leaving'])).toEqual([undefined, undefined]);
  });
  it('leaves some members without a partition when there are more members', () => {
    const targets = assign(['a', 'b', 'c'], [undefined, 'c']);
    expect(targets[1]).toBe('c');
    expect(targets[0]).toBe('a');
  });
  it('takes from a member only what it has too much', () => {
    expect(assign(['a', 'b'], ['a', 'a', 'a', 'a'])).toEqual(['a', 'a', 'b', 'b']);
    expect(assign(['a', 'b'], ['a', 'a', 'a', 'b', 'b'])).toEqual(['a', 'a', 'a', 'b', 'b']);
  });
  it('moves nothing when it is balanced, whoever has the one more', () => {
    const owners = ['b', 'a', 'b', 'c', 'b', 'a', 'c'];
    expect(assign(['a', 'b', 'c'], owners)).toEqual(owners);
  });
  it('does not depend on the order in which members are named', () => {
    const owners = ['b', undefined, 'a', undefined, 'a'];
    expect(assign(['c', 'b', 'a'], owners)).toEqual(assign(['a', 'b', 'c'], owners));
  });

  heavy('is balanced, moves no more than it must, and is stable, for any members and owners', () => {
    const random = seededRandom(7);
    const pick = (below: number): number => Math.floor(random.next() * below);
    for (let round = 0; round < 2_000; round += 1) {
      const members = Array.from({ length: 1 + pick(8) }, (_, n) => `m${n}`);
      const owners = Array.from({ length: 1 + pick(20) }, () => (pick(4) === 0 ? undefined : `m${pick(10)}`));
      const targets = assign(members, owners);
      const each = counts(targets, members);
      expect(each.reduce((sum, count) => sum + count, 0)).toBe(owners.length);
      expect(Math.max(...each) - Math.min(...each)).toBeLessThanOrEqual(1);
      expect(assign(members, targets)).toEqual(targets);
      // Each member keeps all it may: whoever lost one has its full share.
      const least = Math.floor(owners.length / members.length);
      members.forEach((member, index) => {
        const lost = owners.some((owner, partition) => owner === member && targets[partition] !== member);
        if (lost) expect(each[index]).toBeGreaterThanOrEqual(least);
      });
    }
  });
});
