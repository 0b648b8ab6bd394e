import { seededRandom } from '../../src/memory/clock';
import { shareOut, type Sharer } from '../../src/ports/share';
import { heavy } from '../heavy';

type Owners = readonly (string | undefined)[];
const plain = (...ids: string[]): Sharer[] => ids.map((id) => ({ id }));
const share = (ids: readonly string[], owners: Owners): Owners => shareOut(plain(...ids), owners);
const counts = (targets: Owners, members: readonly string[]): number[] =>
  members.map((member) => targets.filter((target) => target === member).length);

describe('sharing partitions among members', () => {
  it('assigns everything to the only member, and nothing without members', () => {
    expect(share(['a'], [undefined, undefined, 'gone'])).toEqual(['a', 'a', 'a']);
    expect(share([], [undefined, 'leaving'])).toEqual([undefined, undefined]);
  });
  it('leaves some members without a partition when there are more members', () => {
    expect(share(['a', 'b', 'c'], [undefined, 'c'])).toEqual(['a', 'c']);
  });
  it('moves only the surplus partitions of a member', () => {
    expect(share(['a', 'b'], ['a', 'a', 'a', 'a'])).toEqual(['a', 'a', 'b', 'b']);
    expect(share(['a', 'b'], ['a', 'a', 'a', 'b', 'b'])).toEqual(['a', 'a', 'a', 'b', 'b']);
  });
  it('moves no partition when the assignment is balanced, whichever member has one more', () => {
    const owners = ['b', 'a', 'b', 'c', 'b', 'a', 'c'];
    expect(share(['a', 'b', 'c'], owners)).toEqual(owners);
  });

  heavy('is balanced, stable and moves the fewest partitions, for any members and owners', () => {
    const random = seededRandom(7);
    const pick = (below: number): number => Math.floor(random.next() * below);
    for (let round = 0; round < 2_000; round += 1) {
      const members = Array.from({ length: 1 + pick(8) }, (_, n) => `m${n}`);
      const owners = Array.from({ length: 1 + pick(20) }, () => (pick(4) === 0 ? undefined : `m${pick(10)}`));
      const targets = share(members, owners);
      const each = counts(targets, members);
      expect(each.reduce((sum, count) => sum + count, 0)).toBe(owners.length);
      expect(Math.max(...each) - Math.min(...each)).toBeLessThanOrEqual(1);
      expect(share(members, targets)).toEqual(targets);
      const moved = owners.filter((owner, partition) => owner !== targets[partition]).length;
      expect(moved).toBe(leastMoves(owners, members));
    }
  });
});

/** Returns the number of partitions that must move: those without a live owner, and those above an owner's even share. */
function leastMoves(owners: Owners, members: readonly string[]): number {
  const base = Math.floor(owners.length / members.length);
  let extras = owners.length % members.length;
  let kept = 0;
  for (const member of members) {
    const count = owners.filter((owner) => owner === member).length;
    kept += Math.min(count, base);
    if (count > base && extras > 0) {
      kept++;
      extras--;
    }
  }
  return owners.length - kept;
}

describe('sharing partitions with messages that their owner does not serve', () => {
  const member = (id: string, serves: string, misses: Record<number, string> = {}): Sharer => ({
    id,
    serves: new Set(serves.split('')),
    misses: new Map(Object.entries(misses).map(([partition, entries]) => [Number(partition), entries.split('')])),
  });

  it('moves these partitions to a serving member, and others back to stay even', () => {
    const owners = ['old', 'old', 'new', 'new'];
    const targets = shareOut([member('new', 'abc'), member('old', 'ab', { 1: 'c' })], owners);
    expect(targets).toEqual(['old', 'new', 'old', 'new']);
    expect(shareOut([member('new', 'abc'), member('old', 'ab')], owners)).toEqual(owners);
  });

  it('moves all of them to the only serving member, even when that is uneven', () => {
    const members = [member('new', 'abc'), member('old', 'ab', { 0: 'c', 1: 'c', 2: 'c', 3: 'c' })];
    const all = ['new', 'new', 'new', 'new'];
    expect(shareOut(members, ['old', 'old', 'new', 'new'])).toEqual(all);
    expect(shareOut(members, all)).toEqual(all); // they stay there while that one is a member
  });

  it('spreads them evenly over the serving members', () => {
    const members = [member('a', 'ab', { 0: 'c', 1: 'c', 2: 'c', 3: 'c' }), member('b', 'abc'), member('c', 'abc')];
    expect(counts(shareOut(members, ['b', 'b', 'b', 'b']), ['a', 'b', 'c'])).toEqual([0, 2, 2]);
  });

  it('keeps them in place while no member is known to serve the messages', () => {
    const owners = ['a', 'b'];
    expect(shareOut([member('a', 'ab', { 0: 'c' }), member('b', 'ab')], owners)).toEqual(owners);
    expect(shareOut([member('a', 'ab', { 0: 'c' }), { id: 'b' }], owners)).toEqual(owners);
  });

  it('moves a partition back and forth between two members that each serve a part', () => {
    const members = (now: Record<number, string>, before: Record<number, string>) => [
      member('a', 'xy', now),
      member('b', 'yz', before),
    ];
    expect(shareOut(members({ 0: 'z' }, {}), ['a', 'b'])).toEqual(['b', 'a']);
    expect(shareOut(members({ 0: 'z' }, { 0: 'x' }), ['b', 'a'])).toEqual(['a', 'b']);
    expect(shareOut(members({}, { 0: 'x' }), ['a', 'b'])).toEqual(['a', 'b']);
  });

  it('assigns no partition to a member that cannot take it, whatever it serves', () => {
    const busy = { ...member('b', 'abc'), isAble: (partition: number) => partition !== 0 };
    expect(shareOut([member('a', 'ab', { 0: 'c' }), busy], ['a', 'b'])).toEqual(['a', 'b']);
    expect(shareOut([busy], [undefined, undefined])).toEqual([undefined, 'b']);
  });

  heavy('assigns unserved partitions to serving members, as evenly as possible, and is stable', () => {
    const random = seededRandom(11);
    const pick = (below: number): number => Math.floor(random.next() * below);
    for (let round = 0; round < 2_000; round += 1) {
      const newer = 1 + pick(3);
      const older = 1 + pick(4);
      const missed = Array.from({ length: 1 + pick(16) }, () => pick(3) === 0);
      const misses = Object.fromEntries(
        missed.flatMap((is, partition) => (is && pick(2) === 0 ? [[partition, 'c']] : [])),
      );
      const members = [
        ...Array.from({ length: newer }, (_, n) => member(`new${n}`, 'abc')),
        ...Array.from({ length: older }, (_, n) => member(`old${n}`, 'ab', misses)),
      ];
      const owners = missed.map(() => [...members, { id: 'gone' }][pick(members.length + 1)]?.id);
      const targets = shareOut(members, owners);
      expect(targets).not.toContain(undefined);
      for (const partition of Object.keys(misses)) expect(targets[Number(partition)]).toMatch(/^new/);
      expect(shareOut(members, targets)).toEqual(targets);
      const each = (name: string) =>
        counts(
          targets,
          members.flatMap(({ id }) => (id.startsWith(name) ? [id] : [])),
        );
      for (const some of [each('new'), each('old')]) {
        expect(Math.max(...some) - Math.min(...some)).toBeLessThanOrEqual(1);
      }
      expect(Math.max(...each('old')) - Math.min(...each('new'))).toBeLessThanOrEqual(1);
    }
  });
});
