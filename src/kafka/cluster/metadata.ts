/**
 * Caches the leaders of partitions and the coordinators of groups. They are requested when needed, and requested again
 * when a broker's response contradicts them.
 */
import { sleep, type Clock, type Random } from '../../base/clock';
import { BusError, errorMessage } from '../../base/errors';
import { deferred, type Deferred } from '../../base/lifecycle';
import type { Notices } from '../../base/notices';
import { busErrorOf, KafkaError } from '../protocol/errors';
import { Coordinators } from './coordinators';
import { HeldPartitions } from './held-partitions';
import { KnownTopics } from './known-topics';
import { OwnTopics } from './own-topics';
import type { Throttling } from '../client/throttling';
import type { TopicSeen } from './topic-findings';
import type { BrokerClient } from '../client/broker-client';
import type { Metadata, TopicPartition } from '../protocol/types';
import { pauseMs, retried } from './retry';
import { WriteRefusals } from './write-refusals';

export interface ClusterMetadataParts {
  readonly client: BrokerClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
  /** Configured addresses, for commands that an operator can run. */
  readonly brokers?: readonly string[];
  /** Name of the logged-in user, for errors. */
  readonly user?: string | undefined;
  /** Delays that brokers imposed on this client. Without it, delays are not reported. */
  readonly throttling?: Throttling;
  /** Time for which a request is retried before it fails. Default 10,000 ms. */
  readonly requestMs?: number;
}
/** A topic counts as missing after this time. A new topic is known to other brokers later than to its creator. */
const absentMsMax = 1_000;
const askMsDefault = 10_000;
/** Failures that last this long are reported. Shorter ones can end without an operator. */
const reportAfterMs = 2_000;

/**
 * Metadata of the cluster, shared by all parts of a process that use it. Each part derives its actions from this state.
 * It derives them again after each change, even if another part requested the metadata: see `watch`.
 */
export class ClusterMetadata {
  readonly #topics: KnownTopics;
  readonly #watchers = new Set<() => void>();
  readonly #coordinators: Coordinators;
  readonly #closing = new AbortController();
  /** Pending result of the next metadata request, shared by all callers that wait for it. */
  #wanted: Deferred<void> | undefined;
  #looking = false;
  /** Monotonic time at which the last metadata request succeeded or failed. */
  #lookedMs = -Infinity;
  #learnedMs = -Infinity;
  /** Number of consecutive metadata requests that failed or returned no changed leader. */
  #fruitless = 0;
  #failure: unknown;
  #recoveredMs = -Infinity;
  #failingMs: number | undefined;
  #reported = false;
  #nodes: readonly number[] = [];
  #controller = -1;

  readonly own = new OwnTopics();

  /** Partitions in which readers of this process are blocked. */
  readonly held: HeldPartitions;
  /** Topics that reject what this process writes. */
  readonly writes: WriteRefusals;
  readonly #askMs: number;

  constructor(readonly parts: ClusterMetadataParts) {
    this.#topics = new KnownTopics(parts.clock);
    this.#coordinators = new Coordinators(parts.client, () => this.#changed());
    this.held = new HeldPartitions(parts.clock);
    this.writes = new WriteRefusals(parts.clock, parts.user);
    this.#askMs = parts.requestMs ?? askMsDefault;
  }

  /** Addresses in the format of Kafka's tools. */
  get bootstrap(): string {
    return this.parts.brokers?.join(',') ?? 'HOST:PORT';
  }
  /** Monotonic time of the last metadata response, even if another part requested it. */
  get updatedMs(): number {
    return this.#learnedMs;
  }
  /** Monotonic time at which the brokers responded again after a failure. It is -Infinity if they never failed. */
  get recoveredMs(): number {
    return this.#recoveredMs;
  }
  /**
   * Calls `changed` after each metadata request (also a failed one), after each doubt about a leader, and when the
   * coordinator of a group was found. The returned function ends this. `changed` runs synchronously, so it must be fast
   * and must not throw.
   */
  watch(changed: () => void): () => void {
    this.#watchers.add(changed);
    return () => void this.#watchers.delete(changed);
  }
  #changed(): void {
    for (const changed of this.#watchers) changed();
  }
  /** Returns the known leader of the partition; undefined if the caller must refresh. */
  leader({ topic, partition }: TopicPartition): number | undefined {
    return this.#topics.leader(topic, partition);
  }
  /** Returns the known leader. Throws LEADER_NOT_AVAILABLE if it has none; `withRetries` then refreshes and retries. */
  mustLead({ topic, partition }: TopicPartition): number {
    const node = this.leader({ topic, partition });
    if (node !== undefined) return node;
    throw new KafkaError('LEADER_NOT_AVAILABLE', `${topic}/${partition} has no leader`, { sent: false });
  }
  /** Discards the leader `node`, which does not answer or reported that it does not lead the partition. */
  invalidateLeader({ topic, partition }: TopicPartition, node: number): void {
    if (this.#topics.invalidateLeader(topic, partition, node)) this.#changed();
  }
  /** True if the last metadata request failed. */
  get failing(): boolean {
    return this.#failure !== undefined;
  }
  /** Returns why the topic can be without a leader, based on the last metadata response. */
  whyLeaderless(topic: string): string {
    const known = this.#topics.get(topic);
    if (known?.absentSinceMs !== undefined) return this.own.describeAbsent(topic);
    return known?.fault?.message ?? 'it has no leader';
  }
  /** Returns for how long brokers have reported that the topic does not exist; 0 if they have not. */
  absentMs(topic: string): number {
    return this.#topics.absentMs(topic);
  }

  /** Returns how often the topic became absent. After an absence, it can be another topic of the same name. */
  absences(topic: string): number {
    return this.#topics.get(topic)?.absences ?? 0;
  }

  /** Returns what brokers last reported about the topic; undefined if it does not exist. */
  seen(topic: string): TopicSeen | undefined {
    const known = this.#topics.get(topic);
    if (!known || known.absentSinceMs !== undefined || known.partitions.length === 0) return undefined;
    return { partitions: known.partitions, nodes: this.#nodes };
  }

  /** Returns the ids of all running brokers. */
  async nodes(): Promise<readonly number[]> {
    await this.#lookUntilOne();
    return this.#nodes;
  }
  /** Returns the id of the broker that accepts changes of topics. */
  async controller(): Promise<number> {
    await this.#lookUntilOne();
    return this.#controller;
  }
  async #lookUntilOne(): Promise<void> {
    if (this.#controller < 0) await this.refresh();
    if (this.#controller >= 0) return;
    throw this.#failure ?? new KafkaError('BROKER_NOT_AVAILABLE', 'no broker is reachable', { sent: false });
  }

  /** Returns the partition count. Rejects with Config if the topic does not exist, Unreachable if no broker answers. */
  async partitions(topic: string): Promise<number> {
    const found = await this.findTopic(topic, absentMsMax);
    if (found !== undefined) return found;
    const fault = `topic '${topic}' does not exist`;
    const remedy = 'Start an instance that serves the module or publishes its events, which creates the topic.';
    throw new BusError('Config', fault, { faults: [fault] }, undefined, remedy);
  }

  /** Returns the partition count; undefined if the topic is still absent `absentMs` after the call. */
  async findTopic(topic: string, absentMs = 0): Promise<number | undefined> {
    const { clock } = this.parts;
    const begunMs = clock.mono();
    for (let tries = 0; ; tries++) {
      const known = this.#topics.get(topic);
      if (known && known.leaders.length > 0 && known.absentSinceMs === undefined) return known.leaders.length;
      if (!known) this.#topics.add(topic);
      await this.refresh();
      const waitedMs = clock.mono() - begunMs;
      const failure = this.#failure ?? this.#topics.get(topic)?.fault;
      if (failure !== undefined) {
        const over = !(failure instanceof KafkaError && failure.retriable) || waitedMs > this.#askMs;
        if (over || this.#closing.signal.aborted)
          throw busErrorOf(failure, `topic ${topic}`, waitedMs, this.parts.user);
      } else if (this.#topics.get(topic)?.absentSinceMs !== undefined && waitedMs >= absentMs) {
        if (this.#topics.get(topic)?.leaders.length === 0) this.#topics.remove(topic); // it was never used
        return undefined;
      }
    }
  }

  /** Requests metadata. Resolves when a request that began after this call has succeeded or failed. */
  refresh(): Promise<void> {
    this.#wanted ??= deferred<void>();
    const { promise } = this.#wanted;
    if (!this.#looking) void this.#look();
    return promise;
  }

  async #look(): Promise<void> {
    this.#looking = true;
    const { clock, random } = this.parts;
    for (let mine = this.#wanted; mine !== undefined; mine = this.#wanted) {
      const gapMs = this.#fruitless === 0 ? 0 : pauseMs(random, this.#fruitless - 1);
      const waitMs = this.#lookedMs + gapMs - clock.mono();
      if (waitMs > 0) await sleep(clock, waitMs, this.#closing.signal);
      this.#wanted = undefined;
      await this.#lookOnce();
      mine.resolve();
    }
    this.#looking = false;
  }

  async #lookOnce(): Promise<void> {
    const { client, clock } = this.parts;
    try {
      if (this.#closing.signal.aborted) throw new KafkaError('CLOSED', 'the log was closed', { sent: false });
      const found = await client.metadata(this.#topics.names);
      this.#learnedMs = clock.mono();
      if (this.#failure !== undefined) this.#recoveredMs = this.#learnedMs;
      this.#failure = undefined;
      this.#fruitless = this.#learn(found) ? 0 : this.#fruitless + 1;
    } catch (error) {
      this.#failure = error;
      this.#fruitless++;
    }
    this.#lookedMs = clock.mono();
    this.#report();
    this.#changed();
  }

  /** Stores a metadata response. Returns whether a leader changed. */
  #learn({ nodes, controller, topics }: Metadata): boolean {
    this.#nodes = nodes.map(({ node }) => node);
    this.#controller = controller >= 0 ? controller : (this.#nodes[0] ?? -1);
    return this.#topics.learn(topics);
  }

  #report(): void {
    const { clock, notices } = this.parts;
    // After close, an interrupted request is no evidence that the brokers fail.
    if (this.#closing.signal.aborted) return;
    const failing = this.#failure !== undefined;
    if (!failing) this.#failingMs = undefined;
    else this.#failingMs ??= clock.mono();
    const bad = this.#failingMs !== undefined && clock.mono() - this.#failingMs >= reportAfterMs;
    if (bad === this.#reported || (failing && !bad)) return;
    this.#reported = bad;
    const reason = bad
      ? `no broker returns the metadata of the cluster: ${errorMessage(this.#failure)}`
      : 'the brokers respond again';
    notices.emit({ type: 'state', part: 'kafka', ok: !bad, reason });
  }

  /** Returns the node that coordinates the group. Rejects with a KafkaError. */
  coordinator(group: string): Promise<number> {
    return this.#coordinators.find(group);
  }
  /** Returns the node that coordinates the group if a part has found it; undefined while it is unknown or in doubt. */
  knownCoordinator(group: string): number | undefined {
    return this.#coordinators.known(group);
  }
  /** Discards the coordinator, which does not answer or reported that it does not coordinate the group. */
  forgetCoordinator(group: string): void {
    this.#coordinators.forget(group);
  }

  /** Runs a request with {@link retried}, for at most `forMs`. Refreshes the metadata before it looks up a leader. */
  withRetries<T>(what: string, run: () => Promise<T>, forMs = this.#askMs): Promise<T> {
    const { clock, random, user } = this.parts;
    const refresh = (): Promise<void> => this.refresh();
    return retried({ clock, random, user, refresh, closing: this.#closing.signal }, what, run, forMs);
  }

  /** Aborts when this is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }
  /** Ends all waits and retries. No metadata is requested after this. */
  close(): void {
    this.#closing.abort();
  }
}

/** Groups partitions by their leader. Throws LEADER_NOT_AVAILABLE if one has no known leader. */
export function byLeader<S extends TopicPartition>(
  metadata: ClusterMetadata,
  topicPartitions: readonly S[],
): Map<number, S[]> {
  const led = new Map<number, S[]>();
  for (const topicPartition of topicPartitions) {
    const node = metadata.mustLead(topicPartition);
    const mine = led.get(node);
    if (mine) mine.push(topicPartition);
    else led.set(node, [topicPartition]);
  }
  return led;
}
