/** Manages groups from outside: sets their start, and lists their members and committed offsets. */
import { BusError } from '../../base/errors';
import type { CommittedProgress, GroupStart } from '../../ports/log';
import { KafkaError } from '../protocol/errors';
import { assignedTo, decodeSubscription, topicsOf } from './subscription';
import { decodeState, withoutState } from './owned-partition';
import type { Topics } from '../cluster/topics';
import type { ClusterMetadata } from '../cluster/metadata';
import { allGood } from '../cluster/retry';
import type { CommittedOffset, Group, TopicPartition } from '../protocol/types';

/** Maximum number of tries to set the start of a group that has members. */
const triesMax = 5;
/** Maximum number of groups in one DescribeGroups request. */
const describedMax = 100;

export class Groups {
  constructor(
    private readonly metadata: ClusterMetadata,
    private readonly topics: Topics,
  ) {}

  /** Implements `Log.startGroup`. */
  async start(group: string, topic: string, at: GroupStart): Promise<void> {
    const { partitions } = await this.topics.shape(topic);
    const topicPartitions = Array.from({ length: partitions }, (_, partition) => ({ topic, partition }));
    for (let tries = 0; tries < triesMax; tries++) {
      if (await this.metadata.withRetries(`group ${group}`, () => this.#startOnce(group, topicPartitions, at))) return;
    }
    const message = `the start of group ${group} cannot be set: it has members, and lacks offsets for ${topic}`;
    throw new BusError('Conflict', message, { key: group });
  }

  /**
   * Commits without a member id, which only a group without members allows. Returns false if it has some. Reads the
   * offsets first on each try. A commit with an unknown outcome can have been stored, and the group can have advanced
   * since.
   */
  async #startOnce(group: string, topicPartitions: readonly TopicPartition[], at: GroupStart): Promise<boolean> {
    const known = await this.#offsets(group, topicPartitions);
    const open = topicPartitions.filter((_, i) => known[i]?.offset === null);
    if (open.length === 0) return true;
    const offsets = await (typeof at === 'number' ? this.topics.offsetsSince(open, at) : this.topics.offsets(open, at));
    const places = open.map((topicPartition) => ({
      ...topicPartition,
      offset: offsets.get(topicPartition.partition) ?? 0,
      metadata: withoutState,
    }));
    try {
      const as = { group, generation: -1, memberId: '' };
      await this.#atCoordinator(group, (node) => this.metadata.parts.client.offsetCommit(node, as, places));
      return true;
    } catch (error) {
      if (error instanceof KafkaError && (error.step === 'newMember' || error.step === 'rejoin')) return false;
      throw error;
    }
  }

  async #offsets(group: string, topicPartitions: Parameters<ClusterMetadata['parts']['client']['offsetFetch']>[2]) {
    return this.metadata.withRetries(`group ${group}`, () =>
      this.#atCoordinator(group, (at) => this.metadata.parts.client.offsetFetch(at, group, topicPartitions)),
    );
  }

  /** Sends a request to the coordinator. Also rejects with the first error in its results. */
  async #atCoordinator<A extends { readonly error: KafkaError | null }>(
    group: string,
    run: (at: { node: number; channel: 'admin' }) => Promise<readonly A[]>,
  ): Promise<readonly A[]> {
    try {
      return allGood(await run({ node: await this.metadata.coordinator(group), channel: 'admin' }));
    } catch (error) {
      if (error instanceof KafkaError && error.retriable) this.metadata.forgetCoordinator(group);
      throw error;
    }
  }

  async #describe(group: string): Promise<Group | undefined> {
    const [found] = await this.metadata.withRetries(`group ${group}`, () =>
      this.#atCoordinator(group, (at) => this.metadata.parts.client.describeGroups(at, [group])),
    );
    return found;
  }

  /** Implements `Log.dropGroup`. Deletes all offsets of the group, because a busbar group has one topic. */
  async drop(group: string): Promise<void> {
    const { client } = this.metadata.parts;
    try {
      await this.metadata.withRetries(`group ${group}`, () =>
        this.#atCoordinator(group, (at) => client.deleteGroups(at, [group])),
      );
    } catch (error) {
      const code = error instanceof BusError && error.cause instanceof KafkaError ? error.cause.code : undefined;
      if (code === 'GROUP_ID_NOT_FOUND') return;
      if (code !== 'NON_EMPTY_GROUP') throw error;
      throw new BusError('Conflict', `group ${group} has members`, { key: group }, error);
    }
  }

  /** Returns all groups that have commits or members on any topic, and whose names begin with `prefix`. */
  async all(
    prefix: string,
    isWanted: (group: string) => boolean = () => true,
  ): Promise<readonly { readonly group: string; readonly topic: string }[]> {
    const { client } = this.metadata.parts;
    const found: { group: string; topic: string }[] = [];
    const seen = new Set<string>();
    const nodes = await this.metadata.withRetries('the groups', () => this.metadata.nodes());
    for (const node of nodes) {
      const listed = await this.metadata.withRetries('the groups', () => client.listGroups({ node, channel: 'admin' }));
      // While its coordinator moves, two brokers list a group.
      const ours = listed.filter(
        ({ group, protocolType }) =>
          group.startsWith(prefix) && isWanted(group) && ['consumer', ''].includes(protocolType) && !seen.has(group),
      );
      for (const { group } of ours) seen.add(group);
      for (let i = 0; i < ours.length; i += describedMax) {
        const names = ours.slice(i, i + describedMax).map(({ group }) => group);
        const described = await this.metadata.withRetries('the groups', () =>
          client.describeGroups({ node, channel: 'admin' }, names),
        );
        for (const one of described) {
          const { group } = one;
          const members = (one.error ? await this.#describe(group) : one)?.members ?? []; // it has just moved
          const topics = new Set([...subscribed(members), ...(await this.#committedTopics(group))]);
          for (const topic of topics) found.push({ group, topic });
        }
      }
    }
    return found;
  }

  async #committedTopics(group: string): Promise<readonly string[]> {
    return (await this.#offsets(group, null)).map(({ topic }) => topic);
  }

  /** Returns the partitions that have a commit or an owner. Without a commit, a group is at the start of the log. */
  async places(group: string, topic: string): Promise<readonly CommittedProgress[]> {
    const { partitions } = await this.topics.shape(topic);
    const topicPartitions = Array.from({ length: partitions }, (_, partition) => ({ topic, partition }));
    const [offsets, owners] = await Promise.all([this.#offsets(group, topicPartitions), this.#owners(group, topic)]);
    const open = offsets.filter(({ offset, partition }) => offset === null && owners.has(partition));
    const starts = open.length === 0 ? new Map<number, number>() : await this.topics.offsets(open, 'start');
    const place = ({ partition, offset, metadata }: CommittedOffset): CommittedProgress => ({
      partition,
      offset: offset ?? starts.get(partition) ?? 0,
      state: decodeState(metadata),
      owner: owners.get(partition) ?? null,
    });
    return offsets.filter(({ offset, partition }) => offset !== null || owners.has(partition)).map(place);
  }

  async #owners(group: string, topic: string): Promise<ReadonlyMap<number, string>> {
    const found = await this.#describe(group);
    const members = (found?.members ?? []).map((one) => ({
      ...one,
      declared: decodeSubscription(one.metadata)?.declared,
    }));
    const owners = new Map<number, string>();
    // A member still owns a partition that it is releasing. Only a newer assignment to another member shows that it was
    // released.
    for (const { declared } of members) {
      for (const partition of [...(declared?.owned ?? []), ...(declared?.giving ?? [])]) {
        owners.set(partition, declared?.instance ?? '');
      }
    }
    for (const { clientId, assignment, declared } of members) {
      for (const partition of assignedTo(assignment, topic)) owners.set(partition, declared?.instance ?? clientId);
    }
    return owners;
  }
}

function subscribed(members: Group['members']): readonly string[] {
  return members.flatMap(({ metadata }) => topicsOf(metadata));
}
