/** Which member of a group gets which partition, and how partitions move: none before its owner let go of it. */
import { shareOut } from '../../ports/share';
import { type Assigned, decodeDeclared, type Declared, encodeAssigned } from './subscription';
import type { Joined } from '../protocol/types';

export interface Candidate {
  readonly id: string;
  readonly declared: Declared;
}

/**
 * What each member has from now on. What must move is taken from no member: it is only missing in the assignment of its
 * owner, which gives it up and joins again; until then no other member gets it. A partition that a member has lost goes
 * back to that member first, since it may know of finished messages that are not committed.
 */
export function assign(members: readonly Candidate[], partitions: number): ReadonlyMap<string, Assigned> {
  const sorted = members.toSorted((a, b) => (a.id < b.id ? -1 : 1)); // the same whoever works it out
  const claims = claimsOf(sorted, partitions);
  const targets = targetsOf(sorted, claims);
  const told = new Map(sorted.map(({ id }) => [id, [] as number[]]));
  const passing = new Set<string>();
  let moving = false;
  targets.forEach((target, partition) => {
    const { holders = [], owner, former } = claims[partition] ?? {};
    if (target === undefined) moving = true;
    else if (owner === target || (holders.length === 0 && (former ?? target) === target))
      told.get(target)?.push(partition);
    else {
      moving = true;
      if (holders.length > 0 || former === undefined) return;
      told.get(former)?.push(partition);
      passing.add(former);
    }
  });
  return new Map(
    sorted.map(({ id, declared: { round } }) => {
      return [id, { partitions: told.get(id) ?? [], moving, round, again: passing.has(id) }];
    }),
  );
}

interface Claim {
  /** Members that say that they have it. */
  readonly holders: string[];
  /** The one holder, if it wants to keep it. */
  owner: string | undefined;
  /** Without a holder: the member that lost it, if it can take it back. */
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
    if (claim.holders.length > 1) claim.owner = undefined; // both must let go, however that came about
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

/** What the leader sends with its sync; nobody else sends any. */
export function assignmentsOf(
  { leaderId, memberId, members }: Joined,
  { topic, partitions }: { readonly topic: string; readonly partitions: number },
): readonly { readonly memberId: string; readonly assignment: Uint8Array }[] {
  if (leaderId !== memberId) return [];
  const candidates = members.flatMap(({ id, metadata }) => {
    const said = decodeDeclared(metadata);
    return said?.topic === topic ? [{ id, declared: said.declared }] : [];
  });
  const assigned = assign(candidates, partitions);
  const none = { partitions: [], moving: false, round: -1, again: false };
  return members.map(({ id }) => ({ memberId: id, assignment: encodeAssigned(topic, assigned.get(id) ?? none) }));
}
