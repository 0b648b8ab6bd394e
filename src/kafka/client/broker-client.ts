/** A Kafka client library reduced to its requests: one request, one broker, one answer, no retries. Makers: kafkajs. */
import type { Closable } from '../../base/lifecycle';
import type { WireError } from '../protocol/errors';
import type {
  Answer,
  Batch,
  CommitSpot,
  FetchAsk,
  Fetched,
  FetchedOffset,
  Group,
  Join,
  Joined,
  MemberAs,
  Metadata,
  NewTopic,
  PartitionProducers,
  Produced,
  Spot,
  TopicAnswer,
  TopicConfigs,
  Transaction,
} from '../protocol/types';

/**
 * Which of the connections to a broker. A broker answers the requests of one connection one after another: what waits
 * (a fetch for records, a join for the others, a produce for its replicas) holds up all that is behind it.
 */
export type Via = 'produce' | 'post' | 'inbox' | 'tails' | 'work' | 'admin' | `group:${string}`;
export interface At {
  readonly node: number;
  readonly via: Via;
}
/**
 * Each call is one request, sent once, with a deadline: `timeoutMs` from the call on, connecting included, 5,000 unless
 * said otherwise. Rejects with a WireError; one partition's error is in its answer instead. A partition stands at most
 * once in a request. Answers about partitions come in the order of asking and name exactly what was asked, or say
 * UNVERIFIED; other answers come in any order. After DEADLINE the connection is closed, since a broker answers in
 * order; whatever else was under way on it rejects with CONNECTION.
 */
export interface Wire extends Closable {
  /** Of these topics, or of all with null. Asks one broker after another, each time another one first. */
  metadata(topics: readonly string[] | null, timeoutMs?: number): Promise<Metadata>;
  /** The node that coordinates the group. Asks like `metadata`. */
  findCoordinator(group: string, timeoutMs?: number): Promise<number>;
  /** A producer id that no other producer of the cluster has; its epoch is 0. Asks like `metadata`. */
  initProducerId(timeoutMs?: number): Promise<number>;

  /** Waits for all in-sync replicas. Partitions whose leader `at` is not answer NOT_LEADER_OR_FOLLOWER. */
  produce(at: At, batches: readonly Batch[], timeoutMs: number): Promise<readonly Produced[]>;
  /**
   * Resolves when there is something, an error, or after `maxWaitMs`; the deadline is `spareMs` behind that. On
   * `signal` it resolves to [] at once, while the connection stays busy until the broker answers. An `error` with an
   * `until` says that the records at `next` came and cannot be read; when they came damaged, the connection ends.
   */
  fetch(at: At, ask: FetchAsk, signal?: AbortSignal): Promise<readonly Fetched[]>;
  /**
   * The first offset at or behind a time. 'end' is where readers have to wait; 'high' is the offset that the next
   * record will get, which is higher while a transaction is open. No request has both.
   */
  listOffsets(
    at: At,
    ask: readonly (Spot & { readonly time: 'start' | 'end' | 'high' | number })[],
    timeoutMs?: number,
  ): Promise<readonly (Answer & { readonly offset: number })[]>;
  /** Records below `before` may go. */
  deleteRecords(
    at: At,
    ask: readonly (Spot & { readonly before: number })[],
    timeoutMs?: number,
  ): Promise<readonly (Answer & { readonly start: number })[]>;

  /** Answered when all members have joined or `rebalanceMs` passed; the deadline is 2 s behind that. */
  join(at: At, join: Join): Promise<Joined>;
  /** Resolves with the own assignment; empty bytes are none. Only the leader gives assignments. */
  sync(
    at: At,
    as: MemberAs,
    assignments: readonly { readonly memberId: string; readonly assignment: Uint8Array }[],
    timeoutMs: number,
  ): Promise<Uint8Array>;
  heartbeat(at: At, as: MemberAs, timeoutMs?: number): Promise<void>;
  leave(at: At, group: string, memberId: string, timeoutMs?: number): Promise<void>;
  commit(at: At, as: MemberAs, places: readonly CommitSpot[], timeoutMs?: number): Promise<readonly Answer[]>;
  /** Of these partitions; with null all that the group has. */
  fetchOffsets(
    at: At,
    group: string,
    spots: readonly Spot[] | null,
    timeoutMs?: number,
  ): Promise<readonly FetchedOffset[]>;

  createTopics(at: At, topics: readonly NewTopic[], timeoutMs?: number): Promise<readonly TopicAnswer[]>;
  deleteTopics(at: At, topics: readonly string[], timeoutMs?: number): Promise<readonly TopicAnswer[]>;
  /** `partitions` is the number that there shall be. */
  growTopic(at: At, topic: string, partitions: number, timeoutMs?: number): Promise<void>;
  topicConfigs(at: At, topics: readonly string[], timeoutMs?: number): Promise<readonly TopicConfigs[]>;
  /** Some configs of the broker that is asked. */
  brokerConfigs(at: At, names: readonly string[], timeoutMs?: number): Promise<Readonly<Record<string, string>>>;
  /** Sets single configs of a topic and leaves the others as they are. */
  alterTopic(at: At, topic: string, configs: Readonly<Record<string, string>>, timeoutMs?: number): Promise<void>;

  /** Producers that have written to these partitions, of the leader. */
  describeProducers(at: At, spots: readonly Spot[], timeoutMs?: number): Promise<readonly PartitionProducers[]>;
  /** Transactional ids of these producers, as far as this one broker coordinates them. */
  listTransactions(
    at: At,
    producerIds: readonly number[],
    timeoutMs?: number,
  ): Promise<readonly { readonly id: string; readonly producerId: number }[]>;
  /** Of the broker that coordinates them, see `listTransactions`. */
  describeTransactions(at: At, ids: readonly string[], timeoutMs?: number): Promise<readonly Transaction[]>;

  /** The groups that this one broker coordinates. */
  listGroups(at: At, timeoutMs?: number): Promise<readonly { readonly group: string; readonly protocolType: string }[]>;
  /** Forgets groups without members; the others answer NON_EMPTY_GROUP. `at` coordinates them. */
  deleteGroups(
    at: At,
    groups: readonly string[],
    timeoutMs?: number,
  ): Promise<readonly { readonly group: string; readonly error: WireError | null }[]>;
  describeGroups(at: At, groups: readonly string[], timeoutMs?: number): Promise<readonly Group[]>;
}
