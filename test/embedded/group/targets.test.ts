import type { MemberRow } from '../../../src/embedded/group/roster';
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

test('partitions are shared evenly among members that stay', () => {
  const owners = [ownedBy('a1'), ownedBy('a1'), ownedBy('a1'), free];
  expect(of({ a1: row('a'), b1: row('b') }, owners).targets).toEqual(['a1', 'a1', 'b1', 'b1']);
  expect(of({ a1: row('a'), b1: row('b', { leaving: true }) }, owners).targets).toEqual(['a1', 'a1', 'a1', 'a1']);
});

test('what a member owned under a former id is for its new one, and for no other member before that', () => {
  const owners = [ownedBy('b1'), ownedBy('b1'), ownedBy('a0'), ownedBy('a0')];
  const [a1, b2] = [row('a', { formerIds: ['a0'] }), row('b', { formerIds: ['b0', 'b1'] })];
  const { targets, holders } = of({ a1, b2 }, owners);
  expect(targets).toEqual(['b2', 'b2', 'a1', 'a1']);
  expect(holders).toEqual(['b2', 'b2', 'a1', 'a1']);
  const joined = of({ a1, b2, c1: row('c') }, owners);
  expect(joined.targets.filter((id) => id === 'c1')).toHaveLength(1);
  expect(joined.holders).toEqual(['b2', 'b2', 'a1', 'a1']); // it comes by way of the member that had it
});

test('what was given, or owned by a member that is gone, any member can take', () => {
  expect(of({ a1: row('a') }, [free, ownedBy('c1')]).holders).toEqual([undefined, undefined]);
});

test('a partition with messages that its owner does not serve is for a member that serves them', () => {
  const members = { a1: row('a', { misses: { 0: ['y'] } }), b1: row('b', { serves: ['x', 'y'] }) };
  expect(of(members, [ownedBy('a1'), ownedBy('b1')]).targets).toEqual(['b1', 'a1']);
});

test('with a member of busbar 0.1.0, which writes no entries, all compute as it does', () => {
  const { serves: _serves, misses: _misses, ...older } = row('b');
  const owners = [ownedBy('a1'), ownedBy('b0'), ownedBy('b0'), ownedBy('b0')];
  const { targets, holders } = of({ a1: row('a', { misses: { 0: ['y'] } }), b1: older }, owners);
  expect(targets).toEqual(['a1', 'a1', 'b1', 'b1']);
  expect(holders).toEqual(['a1', undefined, undefined, undefined]);
});
