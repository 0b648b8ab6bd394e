import { assign, type Candidate } from '../../../src/kafka/group/assignor';
import { seededRandom } from '../../../src/memory/clock';

const member = (id: string, more: Partial<Candidate['declared']> = {}): Candidate => ({
  id,
  declared: {
    instance: id,
    round: 1,
    owned: [],
    giving: [],
    busy: [],
    leaving: false,
    had: [],
    serves: undefined,
    misses: new Map(),
    ...more,
  },
});
const told = (members: readonly Candidate[], partitions: number): Record<string, readonly number[]> =>
  Object.fromEntries([...assign(members, partitions)].map(([id, one]) => [id, one.partitions]));

describe('assign', () => {
  it('assigns each member the same number of partitions, or one more', () => {
    expect(told([member('a'), member('b'), member('c')], 7)).toEqual({ a: [0, 1, 2], b: [3, 4], c: [5, 6] });
  });

  it('revokes surplus partitions, and assigns them only after their release', () => {
    const assigned = assign([member('a', { owned: [0, 1, 2, 3] }), member('b')], 4);
    expect(assigned.get('a')).toEqual({ partitions: [0, 1], moving: true, round: 1, again: false });
    expect(assigned.get('b')).toEqual({ partitions: [], moving: true, round: 1, again: false });
    expect(told([member('a', { owned: [0, 1], giving: [2] }), member('b')], 4)).toEqual({ a: [0, 1], b: [3] });
    expect(told([member('a', { owned: [0, 1] }), member('b')], 4)).toEqual({ a: [0, 1], b: [2, 3] });
  });

  it('does not reassign a partition to the member that is revoking it', () => {
    const assigned = assign([member('a', { owned: [0], giving: [1] })], 2);
    expect(assigned.get('a')).toEqual({ partitions: [0], moving: true, round: 1, again: false });
  });

  it('assigns a partition to another member while its candidate is busy with it', () => {
    expect(told([member('a', { busy: [0] })], 2)).toEqual({ a: [1] });
    expect(told([member('a', { busy: [0] }), member('b')], 2)).toEqual({ a: [1], b: [0] });
    // The partition of b moves to the busy member, which owns none.
    expect(told([member('a', { busy: [0] }), member('b', { owned: [1] })], 2)).toEqual({ a: [], b: [0] });
  });

  it('assigns a partition that two members claim to neither, so that both release it', () => {
    const assigned = assign([member('a', { owned: [0, 1] }), member('b', { owned: [1] })], 2);
    expect([...assigned.values()].flatMap(({ partitions }) => partitions)).toEqual([0]);
  });

  it('assigns a leaving member nothing, and waits for the partitions that it is revoking', () => {
    expect(told([member('a', { giving: [0], leaving: true }), member('b')], 2)).toEqual({ a: [], b: [1] });
  });

  it('returns the round of each subscription, and ignores partitions that do not exist', () => {
    const assigned = assign([member('a', { owned: [0, 99, -1], round: 7 })], 1);
    expect(assigned.get('a')).toEqual({ partitions: [0], moving: false, round: 7, again: false });
  });

  it('returns a lost partition to the member that lost it, unless another member owns it', () => {
    const [a, b] = [member('a', { had: [2, 3] }), member('b', { had: [0, 1] })];
    expect(told([a, b], 4)).toEqual({ a: [2, 3], b: [0, 1] });
    expect(told([member('a', { had: [0, 1] }), member('b', { owned: [0, 1] })], 2)).toEqual({ a: [], b: [0] });
    expect(told([member('a', { had: [0], busy: [0] }), member('b')], 2)).toEqual({ a: [1], b: [0] });
    expect(told([member('a', { had: [0, 1], leaving: true }), member('b')], 2)).toEqual({ a: [], b: [0, 1] });
  });

  it('returns a lost partition that must move, and moves it in the next round', () => {
    const first = assign([member('a', { had: [0, 1, 2, 3] }), member('b')], 4);
    expect(first.get('a')).toEqual({ partitions: [0, 1, 2, 3], moving: true, round: 1, again: true });
    expect(first.get('b')).toEqual({ partitions: [], moving: true, round: 1, again: false });
    expect(told([member('a', { owned: [0, 1, 2, 3] }), member('b')], 4)).toEqual({ a: [0, 1], b: [] });
  });

  it('moves a partition with unserved messages to a member that serves their entries', () => {
    const old = { serves: ['x'], misses: new Map([[0, ['y']]]) };
    const newer = { serves: ['x', 'y'] };
    const asked = assign([member('a', { owned: [0, 1], ...old }), member('b', { owned: [2, 3], ...newer })], 4);
    expect(asked.get('a')).toMatchObject({ partitions: [1], moving: true });
    const moved = [member('a', { owned: [1], ...old }), member('b', { owned: [2, 3], ...newer })];
    expect(told(moved, 4)).toEqual({ a: [1], b: [0, 3] });
    expect(told([member('a', { owned: [0, 1], ...old }), member('b', { owned: [2, 3] })], 4)).toEqual({
      a: [0, 1],
      b: [2, 3],
    });
  });

  it('converges to a balanced assignment that does not change in further rounds', () => {
    const random = seededRandom(5);
    for (let round = 0; round < 200; round++) {
      const partitions = 1 + Math.floor(random.next() * 12);
      let members = Array.from({ length: 1 + Math.floor(random.next() * 5) }, (_, n) => member(`m${n}`));
      for (let step = 0; step < 6; step++) {
        const assigned = assign(members, partitions);
        const owners = [...assigned.values()].flatMap((one) => one.partitions);
        expect(new Set(owners).size).toBe(owners.length);
        members = members.map((one) => {
          const mine = assigned.get(one.id)?.partitions ?? [];
          return member(one.id, { owned: mine });
        });
        if (step === 2) members.push(member('new'));
      }
      const counts = members.map(({ declared }) => declared.owned.length);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(partitions);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      expect(told(members, partitions)).toEqual(Object.fromEntries(members.map((m) => [m.id, m.declared.owned])));
    }
  });
});
