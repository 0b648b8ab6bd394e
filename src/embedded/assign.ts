/** Who of a group should own which partition: balanced, moving as few as possible, the same whoever works it out. */

/**
 * The member that each partition should belong to. `owners` says who owns it now (undefined: nobody that is alive);
 * an owner that is not among `members` is leaving. Members have the same number of partitions or one more.
 * With no members nobody owns anything.
 */
export function assign(
  members: readonly string[],
  owners: readonly (string | undefined)[],
): readonly (string | undefined)[] {
  const kept = new Map<string, number[]>(members.toSorted().map((member) => [member, []]));
  owners.forEach((owner, partition) => owner !== undefined && kept.get(owner)?.push(partition));
  const quotas = quotasOf(kept, owners.length);
  const targets: (string | undefined)[] = owners.map(() => undefined);
  for (const [member, partitions] of kept) {
    for (const partition of partitions.slice(0, quotas.get(member) ?? 0)) targets[partition] = member;
  }
  fill(targets, kept, quotas);
  return targets;
}

/** Those that have most already get the one more, so that nothing moves for its sake. */
function quotasOf(kept: ReadonlyMap<string, readonly number[]>, partitions: number): ReadonlyMap<string, number> {
  const least = Math.floor(partitions / Math.max(1, kept.size));
  let extra = kept.size === 0 ? 0 : partitions % kept.size;
  const byCount = [...kept].toSorted(([, a], [, b]) => b.length - a.length); // equal ones stay in order of their names
  return new Map(byCount.map(([member]) => [member, least + (extra-- > 0 ? 1 : 0)]));
}

function fill(
  targets: (string | undefined)[],
  kept: ReadonlyMap<string, readonly number[]>,
  quotas: ReadonlyMap<string, number>,
): void {
  const wanting = [...kept.keys()].flatMap((member) => {
    const quota = quotas.get(member) ?? 0;
    const has = Math.min(quota, kept.get(member)?.length ?? 0);
    return Array.from({ length: quota - has }, () => member);
  });
  let next = 0;
  targets.forEach((target, partition) => {
    if (target === undefined) targets[partition] = wanting[next++];
  });
}
