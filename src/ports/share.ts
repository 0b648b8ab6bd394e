/**
 * Distributes the partitions of a topic among the members of a group. Every process computes the same result, so no
 * leader is needed.
 */

/** A member of the group, as the assignment sees it. */
export interface Sharer {
  readonly id: string;
  /** Entries whose messages it handles. Undefined if the member does not declare them. */
  readonly serves?: ReadonlySet<string> | undefined;
  /**
   * By partition, entries that the member does not serve and whose messages it found there. If it owns the partition
   * they wait there now; otherwise they waited when it was revoked.
   */
  readonly misses?: ReadonlyMap<number, readonly string[]> | undefined;
  /** Returns whether the member can own the partition at the moment. Default: it can own each. */
  readonly isAble?: (partition: number) => boolean;
}

/**
 * Returns the member that each partition must belong to. `owners` are the current ones; an owner that is not in
 * `members` is leaving.
 *
 * Members get equal numbers of partitions, or one more, and no partition moves without need. If messages wait that the
 * owner does not serve, the partition moves to a member that serves them. It does not move back while that one is a
 * member.
 */
export function shareOut(
  members: readonly Sharer[],
  owners: readonly (string | undefined)[],
): readonly (string | undefined)[] {
  const choices = owners.map((owner, partition) => choiceOf(members, owner, partition));
  if (choices.some((choice) => choice.length < members.length)) return shareAmong(members, owners, choices);
  return shareEvenly(members, owners);
}

/** Returns the members that can own the partition: the ones that serve the messages waiting there, if any do. */
function choiceOf(members: readonly Sharer[], owner: string | undefined, partition: number): readonly Sharer[] {
  const able = members.filter(({ isAble }) => isAble?.(partition) ?? true);
  const missed = ({ misses }: Sharer): readonly string[] => misses?.get(partition) ?? [];
  const isServed = (entry: string): boolean => able.some(({ serves }) => serves?.has(entry));
  const suited = able.filter((member) => !missed(member).some(isServed));
  if (suited.length > 0) return suited;
  // Every member lacks an entry. The next one that serves a waiting message gets the partition, and passes it on with
  // the messages that it does not serve. Otherwise those messages would wait forever.
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

/**
 * Returns the number of partitions for each member: equal shares. The members with the most partitions get the
 * remainder, so that the fewest partitions move.
 */
function quotas(counts: ReadonlyMap<string, number>, partitions: number): Map<string, number> {
  const least = Math.floor(partitions / Math.max(1, counts.size));
  const extra = partitions % Math.max(1, counts.size);
  // toSorted is stable: equal members keep their order, so that every process computes the same quotas
  const byCount = [...counts].toSorted(([, a], [, b]) => b - a);
  return new Map(byCount.map(([id], rank) => [id, least + (rank < extra ? 1 : 0)]));
}

/**
 * Assigns partitions as evenly as the choices allow. Owners keep theirs where they can; each open partition is assigned
 * to the member with the fewest.
 */
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
  // Terminates: each move makes the counts more even.
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
