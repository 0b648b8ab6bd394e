/** Shares the partitions of a topic among the members of a group; every process computes the same result. */

export interface Sharer {
  readonly id: string;
  /** Entries whose messages it handles; undefined when it does not state them. */
  readonly serves?: ReadonlySet<string> | undefined;
  /**
   * By partition, entries that it does not serve and whose messages it met there: they wait there now if it owns the
   * partition, else they waited when it gave the partition up.
   */
  readonly misses?: ReadonlyMap<number, readonly string[]> | undefined;
  /** Whether it can take the partition at all now. */
  readonly isAble?: (partition: number) => boolean;
}

/**
 * The member that each partition should belong to. `owners` are the present ones; one that is not in `members` leaves.
 * All members have the same number of partitions or one more, and no partition moves that need not. Where messages wait
 * that its owner does not serve, a partition goes to a member that does, and not back while that one is a member.
 */
export function shareOut(
  members: readonly Sharer[],
  owners: readonly (string | undefined)[],
): readonly (string | undefined)[] {
  const choices = owners.map((owner, partition) => choiceOf(members, owner, partition));
  if (choices.some((choice) => choice.length < members.length)) return shareAmong(members, owners, choices);
  return shareEvenly(members, owners);
}

/** Members that a partition can go to: those that serve what waits there, as far as there are some. */
function choiceOf(members: readonly Sharer[], owner: string | undefined, partition: number): readonly Sharer[] {
  const able = members.filter(({ isAble }) => isAble?.(partition) ?? true);
  const missed = ({ misses }: Sharer): readonly string[] => misses?.get(partition) ?? [];
  const isServed = (entry: string): boolean => able.some(({ serves }) => serves?.has(entry));
  const suited = able.filter((member) => !missed(member).some(isServed));
  if (suited.length > 0) return suited;
  // Each misses something: then the next one handles what waits now, and what it misses moves on after that.
  const waiting = members.flatMap((member) => (member.id === owner ? missed(member) : []));
  const next = able.filter(({ id, serves }) => id !== owner && waiting.some((entry) => serves?.has(entry)));
  return next.length > 0 ? next : able;
}

function shareEvenly(
  members: readonly Sharer[],
  owners: readonly (string | undefined)[],
): readonly (string | undefined)[] {
  const counts = countsOf(members, owners);
  const room = quotas(counts, owners.length);
  const spend = (id: string): boolean => {
    const left = room.get(id) ?? 0;
    if (left > 0) room.set(id, left - 1);
    return left > 0;
  };
  const kept = owners.map((owner) => (owner !== undefined && spend(owner) ? owner : undefined));
  return kept.map((owner) => owner ?? members.find(({ id }) => spend(id))?.id);
}

/** How many each can have: the same for all, and one more for those that have most already until it adds up. */
function quotas(counts: ReadonlyMap<string, number>, partitions: number): Map<string, number> {
  const least = Math.floor(partitions / Math.max(1, counts.size));
  const extra = partitions % Math.max(1, counts.size);
  const byCount = [...counts].toSorted(([, a], [, b]) => b - a); // equal ones stay in their order
  return new Map(byCount.map(([id], rank) => [id, least + (rank < extra ? 1 : 0)]));
}

/** As evenly as the choices allow: owners keep what they can, the rest goes to the member with the fewest. */
function shareAmong(
  members: readonly Sharer[],
  owners: readonly (string | undefined)[],
  choices: readonly (readonly Sharer[])[],
): readonly (string | undefined)[] {
  const targets = owners.map((owner, partition) => choices[partition]?.find(({ id }) => id === owner)?.id);
  const counts = countsOf(members, targets);
  const countOf = (id: string): number => counts.get(id) ?? 0;
  const fewest = (choice: readonly Sharer[]): string | undefined =>
    choice.toSorted((a, b) => countOf(a.id) - countOf(b.id))[0]?.id;
  const set = (partition: number, to: string): void => {
    const from = targets[partition];
    if (from !== undefined) counts.set(from, countOf(from) - 1);
    counts.set(to, countOf(to) + 1);
    targets[partition] = to;
  };
  const open = targets.flatMap((target, partition) => (target === undefined ? [partition] : []));
  for (const partition of open.toSorted((a, b) => (choices[a]?.length ?? 0) - (choices[b]?.length ?? 0))) {
    const to = fewest(choices[partition] ?? []);
    if (to !== undefined) set(partition, to);
  }
  // Each move makes the counts more even, so this ends.
  for (let moved = true; moved;) {
    moved = false;
    targets.forEach((from, partition) => {
      const to = fewest(choices[partition] ?? []);
      if (from === undefined || to === undefined || countOf(from) - countOf(to) < 2) return;
      set(partition, to);
      moved = true;
    });
  }
  return targets;
}

function countsOf(members: readonly Sharer[], owners: readonly (string | undefined)[]): Map<string, number> {
  const counts = new Map(members.map(({ id }) => [id, 0]));
  for (const owner of owners) {
    const count = owner === undefined ? undefined : counts.get(owner);
    if (owner !== undefined && count !== undefined) counts.set(owner, count + 1);
  }
  return counts;
}
