/** Which member of a group each partition should belong to, from the rows of its members and owners. */
import { shareOut } from '../../ports/share';
import type { MemberRow } from './roster';

/** Who owns a partition; null when it was given back. */
export interface OwnerRow {
  readonly member: string | null;
  readonly instance: string | null;
}
export function parseOwner(value: Buffer): OwnerRow {
  return JSON.parse(value.toString()) as OwnerRow; // only members write these
}

/** By partition. */
export interface Targets {
  /** The member that should own it. */
  readonly targets: readonly (string | undefined)[];
  /** The member that has it, or is the only one that can take it now; undefined when any can. */
  readonly holders: readonly (string | undefined)[];
}

/**
 * A member that lost everything comes back under another id. It is the first to get back what it owned before, since
 * it can know of finished messages there that are not committed; if the partition should be elsewhere, it moves after
 * that. Members of busbar 0.1.0 know nothing of that, nor of entries: with one of them in the group all compute as it
 * does, or a partition could have no owner.
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
  if (member === null) return undefined; // it was given, with a commit of all that was finished
  return staying.find(([, { formerIds = [] }]) => formerIds.includes(member))?.[0];
}
