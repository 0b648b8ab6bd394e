/** Who should own which partition: evenly, and moving as few as possible. */

/**
 * Gives each partition a member, so that no member has two more than another, and whoever has one keeps it where that
 * allows. `current` holds the member of each partition or null; members that are not in `members` count as null.
 */
export function assign<M>(current: readonly (M | null)[], members: readonly M[]): (M | null)[] {
  if (members.length === 0) return current.map(() => null);
  const held = new Map<M, number>(members.map((member) => [member, 0]));
  for (const member of current) if (member !== null && held.has(member)) held.set(member, (held.get(member) ?? 0) + 1);
  const room = quotas(held, current.length);
  const spend = (member: M): boolean => {
    const left = room.get(member) ?? 0;
    if (left > 0) room.set(member, left - 1);
    return left > 0;
  };
  const kept = current.map((member) => (member !== null && spend(member) ? member : null));
  return kept.map((member) => member ?? members.find(spend) ?? null);
}

/** How many each may have: the same for all, and one more for those who have most already until it adds up. */
function quotas<M>(held: ReadonlyMap<M, number>, partitions: number): Map<M, number> {
  const base = Math.floor(partitions / held.size);
  const extra = partitions % held.size;
  const most = [...held].sort(([, a], [, b]) => b - a);
  return new Map(most.map(([member], rank) => [member, rank < extra ? base + 1 : base]));
}
