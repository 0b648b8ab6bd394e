/** Manages the groups that share the partitions of a topic: joining, start offsets, and committed offsets. */
import { every, type Timer } from '../../base/clock';
import { BusError } from '../../base/errors';
import { allEnded } from '../../base/lifecycle';
import type { Change } from '../../disk/lmdb';
import type { GroupOfTopic, GroupOptions, GroupStart, CommittedProgress, Member, Owner } from '../../ports/log';
import { firstSince } from '../store/first-since';
import { behind, checkName, keyOf, kinds, namesIn, partitionKey } from '../store/keys';
import { Membership, type MembershipParts } from './membership';
import { decodeCommit, encodeCommit } from '../store/commit-format';
import { GroupMembers } from './group-members';
import { parseOwner, type OwnerRow } from './targets';
import { mark } from '../store/topics';

const sessionMsDefault = 10_000;
/** Interval at which members check each other's liveness. */
const askMs = 250;
/** Shortest session. A shorter one would expire during a pause of the garbage collector. */
const sessionMsMin = 200;

export class Groups {
  private readonly members = new Set<Membership>();
  private readonly unwatch: () => void;
  private readonly tick: Timer;

  constructor(private readonly parts: Omit<MembershipParts, 'changed'>) {
    this.tick = every(parts.clock, askMs, () => {
      for (const member of this.members) member.ask();
    });
    this.unwatch = parts.peers.onRing((topic) => {
      if (topic.startsWith('group:')) this.look(topic.slice('group:'.length));
    });
  }

  private look(group: string): void {
    for (const member of this.members) if (member.group === group) void member.look();
  }

  async join(group: string, topicName: string, owner: Owner, options: GroupOptions = {}): Promise<Member> {
    checkName('group', group);
    const sessionMs = options.sessionMs ?? sessionMsDefault;
    if (!(sessionMs >= sessionMsMin)) {
      const message = `group '${group}': sessionMs must be at least ${sessionMsMin}, not ${sessionMs}`;
      throw new BusError('Config', message, { faults: [message] }, undefined, 'Raise sessionMs.');
    }
    const topic = this.parts.topics.get(topicName);
    await this.note(group, topicName);
    const parts = { ...this.parts, changed: (name: string) => this.look(name) };
    const member = new Membership(parts, group, topic, owner, sessionMs, options.serves ?? []);
    this.members.add(member);
    try {
      await member.start();
    } catch (error) {
      void member.close().finally(() => this.members.delete(member));
      throw error;
    }
    return {
      get id() {
        return member.id;
      },
      close: () => member.close().finally(() => this.members.delete(member)),
      [Symbol.asyncDispose]: () => member.close().finally(() => this.members.delete(member)),
    };
  }

  /** Registers the group, so that {@link Groups.all} returns it even before it commits anything. */
  private async note(group: string, topic: string): Promise<void> {
    const { log } = this.parts;
    const key = keyOf(kinds.group, [group, topic]);
    log.refresh();
    if (log.version(key) === undefined) await log.within(log.write({ key, version: null }, [{ key, value: mark }]));
  }

  async start(group: string, topicName: string, at: GroupStart): Promise<void> {
    checkName('group', group);
    const { log, topics } = this.parts;
    const topic = topics.get(topicName);
    await this.note(group, topicName);
    log.refresh();
    const offsetIn = (partition: number): number => {
      const { start, end } = topics.bounds(topicName, partition);
      if (at === 'start') return start;
      return at === 'end' ? end : firstSince(log, topicName, partition, at, { from: start, end });
    };
    const writes = Array.from({ length: topic.partitions }, (_, partition) => {
      const key = partitionKey(kinds.commit, [group, topicName], partition);
      const value = encodeCommit({ offset: offsetIn(partition), state: new Uint8Array() });
      return log.write({ key, version: null }, [{ key, value }]);
    });
    await log.within(Promise.all(writes));
  }

  all(isWanted: (group: string) => boolean = () => true): readonly GroupOfTopic[] {
    const { log } = this.parts;
    const groups: GroupOfTopic[] = [];
    const prefix = keyOf(kinds.group, []);
    log.refresh();
    log.scan(prefix, behind(prefix), (key) => {
      const [group = '', topic = ''] = namesIn(key);
      if (isWanted(group)) groups.push({ group, topic });
      return true;
    });
    return groups;
  }

  /** Removes a group as `Log.dropGroup` describes. Members of processes that died do not prevent it. */
  async drop(group: string, topicName: string): Promise<void> {
    const { log, live, peers, topics } = this.parts;
    const groupMembers = new GroupMembers(this.parts, group, topicName);
    const running = [...groupMembers.read().values()].filter(({ address }) => peers.alive(address));
    if (running.length > 0) {
      const names = running.map(({ instance }) => instance).join(', ');
      throw new BusError('Conflict', `group ${group} has members: ${names}`, { key: group });
    }
    const members: Change[] = [...groupMembers.read().keys()].map((id) => ({
      key: keyOf(kinds.member, [group, topicName, id]),
      value: null,
    }));
    if (members.length > 0) await live.within(live.write(null, members));
    // Owner rows are kept, so that epochs keep rising and no earlier owner can commit.
    const commits = Array.from({ length: topics.get(topicName).partitions }, (_, partition) =>
      partitionKey(kinds.commit, [group, topicName], partition),
    );
    const changes = [keyOf(kinds.group, [group, topicName]), ...commits].map((key): Change => ({ key, value: null }));
    await log.within(log.write(null, changes));
  }

  /**
   * Returns the committed offsets of partitions that the group owned or was started on. Without a commit, it returns
   * the start of the partition.
   */
  places(group: string, topicName: string): readonly CommittedProgress[] {
    const { log, topics } = this.parts;
    const topic = topics.get(topicName);
    log.refresh();
    const all = Array.from({ length: topic.partitions }, (_, partition) => this.place(group, topicName, partition));
    return all.filter((place) => place !== undefined);
  }

  private place(group: string, topic: string, partition: number): CommittedProgress | undefined {
    const { log, topics } = this.parts;
    const entry = log.entry(partitionKey(kinds.commit, [group, topic], partition));
    const row = log.entry(partitionKey(kinds.owner, [group, topic], partition));
    if (entry === undefined && row === undefined) return undefined;
    const start = { offset: topics.bounds(topic, partition).start, state: new Uint8Array() };
    const owner = row === undefined ? null : this.aliveOwner(group, topic, parseOwner(row.value));
    return { partition, ...(entry === undefined ? start : decodeCommit(entry.value)), owner };
  }

  /**
   * Returns the instance name of the owner. Returns null when the partition has no owner, or the owner's member row was
   * removed.
   */
  private aliveOwner(group: string, topic: string, { member, instance }: OwnerRow): string | null {
    if (member === null) return null;
    const { live } = this.parts;
    live.refresh();
    return live.version(keyOf(kinds.member, [group, topic, member])) === undefined ? null : instance;
  }

  async close(): Promise<void> {
    try {
      await allEnded(
        'leaving groups',
        [...this.members].map((member) => member.close()),
      );
    } finally {
      this.tick.cancel();
      this.unwatch();
    }
  }
}
