import type { MemberRow } from '../../../src/embedded/group/group-members';
import { targetsOf, type OwnerRow } from '../../../src/embedded/group/targets';

const row = (instance: string, more: Partial<MemberRow> = {}): MemberRow => ({
  instance,
  address: instance,
  lease: instance,
  sessionMs: 1_000,
  leaving: false,
  serves: ['x'],
  misses: {},
  ...more,
});
const ownedBy = (member: string): OwnerRow => ({ member, instance: member[0]! });
const free: OwnerRow = { member: null, instance: null };
const of = (members: Record<string, MemberRow>, owners: readonly OwnerRow[]) =>
  targetsOf(new Map(Object.entries(members)), owners, { id: 'a1', leaving: false });

test('partitions are assigned evenly to members that are not leaving', () => {
  const owners = [ownedBy('a1'), ownedBy('a1'), ownedBy('a1'), free];
  expect(of({ a1: row('a'), b1: row('b') }, owners).targets).toEqual(['a1', 'a1', 'b1', 'b1']);
  expect(of({ a1: row('a'), b1: row('b', { leaving: true }) }, owners).targets).toEqual(['a1', 'a1', 'a1', 'a1']);
});

test('partitions of a former member id are assigned to its new id first', () => {
  const owners = [ownedBy('b1'), ownedBy('b1'), ownedBy('a0'), ownedBy('a0')];
  const [a1, b2] = [row('a', { formerIds: ['a0'] }), row('b', { formerIds: ['b0', 'b1'] })];
  const { targets, holders } = of({ a1, b2 }, owners);
  expect(targets).toEqual(['b2', 'b2', 'a1', 'a1']);
  expect(holders).toEqual(['b2', 'b2', 'a1', 'a1']);
  const joined = of({ a1, b2, c1: row('c') }, owners);
  expect(joined.targets.filter((id) => id === 'c1')).toHaveLength(1);
  expect(joined.holders).toEqual(['b2', 'b2', 'a1', 'a1']); // the former owner gets it first
});

test('any member can take a partition that was revoked or whose owner has left', () => {
  expect(of({ a1: row('a') }, [free, ownedBy('c1')]).holders).toEqual([undefined, undefined]);
});

test('a partition with messages that its owner does not serve moves to a serving member', () => {
  const members = { a1: row('a', { misses: { 0: ['y'] } }), b1: row('b', { serves: ['x', 'y'] }) };
  expect(of(members, [ownedBy('a1'), ownedBy('b1')]).targets).toEqual(['b1', 'a1']);
});

test('with a member of busbar 0.1.0, all members use its algorithm', () => {
  const { serves: _serves, misses: _misses, ...older } = row('b');
  const owners = [ownedBy('a1'), ownedBy('b0'), ownedBy('b0'), ownedBy('b0')];
  const { targets, holders } = of({ a1: row('a', { misses: { 0: ['y'] } }), b1: older }, owners);
  expect(targets).toEqual(['a1', 'a1', 'b1', 'b1']);
  expect(holders).toEqual(['a1', undefined, undefined, undefined]);
});
