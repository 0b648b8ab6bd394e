/** Computes the member that should own each partition, from the rows of the members and owners. */
import { shareOut } from '../../ports/share';
import type { MemberRow } from './group-members';

/** Owner of a partition; null when it was given back. */
export interface OwnerRow {
  readonly member: string | null;
  readonly instance: string | null;
}
export function parseOwner(value: Buffer): OwnerRow {
  return JSON.parse(value.toString()) as OwnerRow; // only members write these
}

/** Assignment of all partitions. Both lists are indexed by partition. */
export interface Targets {
  /** The member that should own the partition. */
  readonly targets: readonly (string | undefined)[];
  /** The member that owns the partition, or the only one that can claim it now; undefined when any member can. */
  readonly holders: readonly (string | undefined)[];
}

/**
 * Computes the targets. A member that lost all partitions rejoins under another id, and is the first to get back its
 * former partitions. It can know of finished messages there that are not committed. If such a partition should belong
 * to another member, it moves afterwards. Members of busbar 0.1.0 support neither this nor entries. While one of them
 * is in the group, all members compute as it does, since otherwise a partition could have no owner.
 */
export function targetsOf(
  members: ReadonlyMap<string, MemberRow>,
  owners: readonly OwnerRow[],
  self: { readonly id: string; readonly leaving: boolean },
): Targets {
  const staying = [...members]
    .filter(([id, { leaving }]) => !(id === self.id ? self.leaving : leaving))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  if (staying.some(([, { serves }]) => serves === undefined)) {
    const holders = owners.map(({ member }) => aliveOf(members, member));
    const sharers = staying.map(([id]) => ({ id }));
    return { targets: shareOut(sharers, holders), holders };
  }
  const sharers = staying.map(([id, { serves = [], misses = {} }]) => ({
    id,
    serves: new Set(serves),
    misses: new Map(Object.entries(misses).map(([partition, entries]) => [Number(partition), entries])),
  }));
  const holders = owners.map((owner) => aliveOf(members, owner.member) ?? heirOf(staying, owner));
  return { targets: shareOut(sharers, holders), holders };
}

function aliveOf(members: ReadonlyMap<string, MemberRow>, member: string | null): string | undefined {
  return member !== null && members.has(member) ? member : undefined;
}
function heirOf(staying: readonly (readonly [string, MemberRow])[], { member }: OwnerRow): string | undefined {
  if (member === null) return undefined; // it was given back, with a commit of all finished messages
  return staying.find(([, { formerIds = [] }]) => formerIds.includes(member))?.[0];
}
