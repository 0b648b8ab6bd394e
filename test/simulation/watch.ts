/** Reports the log calls of one instance to the checkers, without changing them. */
import type { Append, Log, OwnedPartition, Owner } from '../../src/ports/log';
import type { Checks } from './checks';
import type { Instance } from './instance';
import type { QueueCheck } from './queue';
import type { Tenure } from './shelf';

export function watchLog(log: Log, who: Instance, checks: Checks): Log {
  /**
   * The member objects by group. An instance must not repeat messages it settled, also after it left the group and
   * joined it again.
   */
  const members = new Map<string, object>();
  const memberOf = (group: string): object => {
    const found = members.get(group) ?? {};
    members.set(group, found);
    return found;
  };
  return {
    ...log,
    async append(topic, records) {
      const parks = who.dead ? [] : records.map((record) => parkOf(record, who, checks));
      const places = await log.append(topic, records);
      if (!who.dead) for (const park of parks) park?.();
      return places;
    },
    async join(group, topic, owner, options) {
      const member = await log.join(
        group,
        topic,
        watchOwner(owner, who, checks.queue(group), memberOf(group)),
        options,
      );
      checks.joined.set(group, topic);
      return member;
    },
  };
}

/**
 * Returns a function to call once the record is stored, for the check of its queue; undefined for a record that parks
 * nothing.
 */
function parkOf(record: Append, who: Instance, checks: Checks): (() => void) | undefined {
  const line = record.headers['parked'];
  const message = line === undefined ? undefined : checks.parkedOf(record);
  if (line === undefined || !message) return undefined;
  const { queue } = JSON.parse(line) as { queue: string }; // written by work/park
  for (const check of checks.queues) if (check.rules.queue === queue) return check.parks(who, message);
  return undefined;
}

function watchOwner(owner: Owner, who: Instance, check: QueueCheck, member: object): Owner {
  const tenures = new Map<number, Tenure>();
  return {
    onAssigned(owned) {
      if (who.dead) return;
      const tenure = check.took(who, owned, member);
      tenures.set(owned.partition, tenure);
      owned.lost.addEventListener('abort', () => check.ended(tenure, 'lost'), { once: true });
      owner.onAssigned(watchOwned(owned, tenure, check));
    },
    async onRevoked(partition) {
      const tenure = tenures.get(partition);
      if (tenure) check.gives(tenure);
      await owner.onRevoked(partition);
      if (tenure && !who.dead) check.ended(tenure, 'given');
    },
  };
}

function watchOwned(owned: OwnedPartition, tenure: Tenure, check: QueueCheck): OwnedPartition {
  return {
    ...owned,
    async read(from, max, signal) {
      const records = await owned.read(from, max, signal);
      if (!tenure.who.dead) check.read(tenure, records);
      return records;
    },
    async commit(commit) {
      if (tenure.who.dead) return owned.commit(commit); // a dead process sends no commit, so there is nothing to check
      const cover = check.commit(tenure, commit);
      await owned.commit(commit);
      check.committed(tenure, cover);
    },
  };
}
