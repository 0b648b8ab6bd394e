/** Assigns partitions to the members of a group. A partition moves only after its owner has released it. */
import { shareOut } from '../../ports/share';
import { type Assignment, decodeSubscription, type Subscription, encodeAssignment } from './subscription';
import type { JoinGroupResponse } from '../protocol/types';

export interface Candidate {
  readonly id: string;
  readonly declared: Subscription;
}

/**
 * Returns the new assignment of each member. A partition that must move is only missing in its owner's assignment. No
 * other member gets it until the owner has released it and rejoined. A partition that a member lost returns to that
 * member first, because it can know of finished messages that are not committed.
 */
export function assign(members: readonly Candidate[], partitions: number): ReadonlyMap<string, Assignment> {
  const sorted = members.toSorted((a, b) => (a.id < b.id ? -1 : 1)); // the result is the same on every leader
  const claims = claimsOf(sorted, partitions);
  const targets = targetsOf(sorted, claims);
  const reported = new Map(sorted.map(({ id }) => [id, [] as number[]]));
  const passing = new Set<string>();
  let moving = false;
  targets.forEach((target, partition) => {
    const { holders = [], owner, former } = claims[partition] ?? {};
    if (target === undefined) moving = true;
    else if (owner === target || (holders.length === 0 && (former ?? target) === target))
      reported.get(target)?.push(partition);
    else {
      moving = true;
      if (holders.length > 0 || former === undefined) return;
      reported.get(former)?.push(partition);
      passing.add(former);
    }
  });
  return new Map(
    sorted.map(({ id, declared: { round } }) => {
      return [id, { partitions: reported.get(id) ?? [], moving, round, again: passing.has(id) }];
    }),
  );
}

interface Claim {
  /** Members that declare to own the partition. */
  readonly holders: string[];
  /** The only holder, if it wants to keep the partition. */
  owner: string | undefined;
  /** The member that lost a partition without a holder, if it can own it again. */
  former: string | undefined;
}

function claimsOf(members: readonly Candidate[], partitions: number): readonly Claim[] {
  const claims = Array.from({ length: partitions }, (): Claim => {
    return { holders: [], owner: undefined, former: undefined };
  });
  for (const { id, declared } of members) {
    for (const partition of [...declared.owned, ...declared.giving]) claims[partition]?.holders.push(id);
    if (declared.leaving) continue;
    for (const partition of declared.owned) if (claims[partition]) claims[partition].owner = id;
    for (const partition of declared.had) {
      if (claims[partition] && !declared.busy.includes(partition)) claims[partition].former ??= id;
    }
  }
  for (const claim of claims) {
    if (claim.holders.length > 1) claim.owner = undefined; // both must release it, for whatever reason both hold it
    if (claim.holders.length > 0) claim.former = undefined;
  }
  return claims;
}

function targetsOf(members: readonly Candidate[], claims: readonly Claim[]): readonly (string | undefined)[] {
  const staying = members.filter(({ declared }) => !declared.leaving);
  const sharers = staying.map(({ id, declared: { busy, serves, misses } }) => ({
    id,
    serves: serves && new Set(serves),
    misses,
    isAble: (partition: number) => !busy.includes(partition),
  }));
  return shareOut(
    sharers,
    claims.map(({ owner, former }) => owner ?? former),
  );
}

/** Returns the assignments that the leader sends with its SyncGroup request. Other members send none. */
export function assignmentsOf(
  { leaderId, memberId, members }: JoinGroupResponse,
  { topic, partitions }: { readonly topic: string; readonly partitions: number },
): readonly { readonly memberId: string; readonly assignment: Uint8Array }[] {
  if (leaderId !== memberId) return [];
  const candidates = members.flatMap(({ id, metadata }) => {
    const subscription = decodeSubscription(metadata);
    return subscription?.topic === topic ? [{ id, declared: subscription.declared }] : [];
  });
  const assigned = assign(candidates, partitions);
  const none = { partitions: [], moving: false, round: -1, again: false };
  return members.map(({ id }) => ({ memberId: id, assignment: encodeAssignment(topic, assigned.get(id) ?? none) }));
}
