/** Who of a group gets which partition: evenly, moving as few as possible, and nothing before whoever has it let go. */
import { type Assigned, decodeDeclared, type Declared, encodeAssigned } from './grouptalk';
import type { Joined } from './wire';

export interface Candidate {
  readonly id: string;
  readonly declared: Declared;
}

/**
 * What each member has from now on. What must move is taken from nobody: it is only missing in what its owner is told,
 * who gives it up and joins again; until then it is given to nobody.
 */
export function assign(members: readonly Candidate[], partitions: number): ReadonlyMap<string, Assigned> {
  const sorted = members.toSorted((a, b) => (a.id < b.id ? -1 : 1)); // the same whoever works it out
  const claims = claimsOf(sorted, partitions);
  const targets = targetsOf(sorted, claims);
  const told = new Map(sorted.map(({ id }) => [id, [] as number[]]));
  let moving = false;
  targets.forEach((target, partition) => {
    const claim = claims[partition];
    const free = claim === undefined || claim.holders.length === 0;
    if (target !== undefined && (free || claim.owner === target)) told.get(target)?.push(partition);
    else moving = true;
  });
  return new Map(sorted.map(({ id, declared: { round } }) => [id, { partitions: told.get(id) ?? [], moving, round }]));
}

/** Who says that it has a partition, and its one owner if nobody else has it and it wants to keep it. */
interface Claim {
  readonly holders: string[];
  owner: string | undefined;
}

function claimsOf(members: readonly Candidate[], partitions: number): readonly Claim[] {
  const claims = Array.from({ length: partitions }, (): Claim => ({ holders: [], owner: undefined }));
  for (const { id, declared } of members) {
    for (const partition of [...declared.owned, ...declared.giving]) claims[partition]?.holders.push(id);
    if (declared.leaving) continue;
    for (const partition of declared.owned) if (claims[partition]) claims[partition].owner = id;
  }
  // Two owners must both let go, however that came about.
  for (const claim of claims) if (claim.holders.length > 1) claim.owner = undefined;
  return claims;
}

function targetsOf(members: readonly Candidate[], claims: readonly Claim[]): readonly (string | undefined)[] {
  const staying = members.filter(({ declared }) => !declared.leaving);
  const counts = new Map(staying.map(({ id }) => [id, 0]));
  for (const { owner } of claims) if (owner !== undefined) counts.set(owner, (counts.get(owner) ?? 0) + 1);
  const room = quotas(counts, claims.length);
  const targets: (string | undefined)[] = claims.map(({ owner }) => {
    const left = owner === undefined ? 0 : (room.get(owner) ?? 0);
    if (owner === undefined || left === 0) return undefined;
    room.set(owner, left - 1);
    return owner;
  });
  const isBusy = (partition: number, { declared }: Candidate): boolean => declared.busy.includes(partition);
  const open = targets.flatMap((target, partition) => (target === undefined ? [partition] : []));
  const busyFirst = open.toSorted((a, b) => wanted(b) - wanted(a));
  function wanted(partition: number): number {
    return staying.filter((member) => isBusy(partition, member)).length;
  }
  for (const partition of busyFirst) {
    const able = staying.filter((member) => !isBusy(partition, member));
    // One too many is better than nobody; the next round evens it out.
    const taker = able.find(({ id }) => (room.get(id) ?? 0) > 0) ?? able[0];
    if (!taker) continue;
    targets[partition] = taker.id;
    room.set(taker.id, (room.get(taker.id) ?? 0) - 1);
  }
  return targets;
}

/** How many each may have: the same for all, and one more for those who have most already until it adds up. */
function quotas(counts: ReadonlyMap<string, number>, partitions: number): Map<string, number> {
  const least = Math.floor(partitions / Math.max(1, counts.size));
  const extra = partitions % Math.max(1, counts.size);
  const byCount = [...counts].toSorted(([, a], [, b]) => b - a); // equal ones stay in the order of their names
  return new Map(byCount.map(([id], rank) => [id, least + (rank < extra ? 1 : 0)]));
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
  const none = { partitions: [], moving: false, round: -1 };
  return members.map(({ id }) => ({ memberId: id, assignment: encodeAssigned(topic, assigned.get(id) ?? none) }));
}
