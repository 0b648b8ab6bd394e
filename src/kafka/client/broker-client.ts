/** Defines the requests to a Kafka cluster: one broker, one response, no retries. connection-pool implements them. */
import type { Closable } from '../../base/lifecycle';
import type { KafkaError } from '../protocol/errors';
import type {
  PartitionResult,
  Batch,
  OffsetToCommit,
  FetchRequest,
  Fetched,
  CommittedOffset,
  Group,
  JoinGroupRequest,
  JoinGroupResponse,
  MemberIdentity,
  Metadata,
  NewTopic,
  PartitionProducers,
  Produced,
  TopicPartition,
  TopicResult,
  TopicConfigs,
  Transaction,
} from '../protocol/types';

/**
 * Purpose of a connection; each purpose has a connection of its own to each broker. A broker answers the requests of
 * one connection in order. A request that waits (Fetch for records, JoinGroup for other members, Produce for replicas)
 * would therefore delay every request after it.
 */
export type Channel = 'produce' | 'messenger' | 'inbox' | 'tails' | 'work' | 'admin' | `group:${string}`;
export interface Route {
  readonly node: number;
  readonly channel: Channel;
}
/**
 * Client of a Kafka cluster. Each call sends one request, once. Its deadline is `timeoutMs` after the call, connecting
 * included; the default is 5,000. It rejects with a KafkaError. The error of a single partition is in the partition's
 * result instead.
 *
 * A partition must occur at most once in a request. Results for partitions have the order of the request and cover
 * exactly its partitions, with UNVERIFIED for one that the response lacks. Other results are in any order.
 *
 * After DEADLINE the connection is closed, since later responses would wait behind the missing one. Other pending
 * requests on it reject with CONNECTION.
 */
export interface BrokerClient extends Closable {
  /**
   * Returns the brokers, and these topics or all of them for null. Tries one broker after another, and starts with the
   * next one at each call.
   */
  metadata(topics: readonly string[] | null, timeoutMs?: number): Promise<Metadata>;
  /** Returns the node that coordinates the group. Tries brokers like `metadata`. */
  findCoordinator(group: string, timeoutMs?: number): Promise<number>;
  /** Returns a producer id that is unique in the cluster; its epoch is 0. Tries brokers like `metadata`. */
  initProducerId(timeoutMs?: number): Promise<number>;

  /**
   * Appends batches, and waits for all in-sync replicas. Partitions that `at` does not lead get NOT_LEADER_OR_FOLLOWER.
   */
  produce(at: Route, batches: readonly Batch[], timeoutMs: number): Promise<readonly Produced[]>;
  /**
   * Fetches records. Resolves when records or an error exist, or after `maxWaitMs`; the deadline is `spareMs` later.
   * When `signal` aborts, it resolves to [] immediately, while the connection stays busy until the broker answers. An
   * `error` with `until` means that the records at `next` arrived and cannot be read. If they arrived damaged, the
   * connection is closed.
   */
  fetch(at: Route, request: FetchRequest, signal?: AbortSignal): Promise<readonly Fetched[]>;
  /**
   * Returns the first offset at or after a time. 'end' is the offset at which readers must wait. 'high' is the offset
   * of the next record, which is higher while a transaction is open. A request must not contain both.
   */
  listOffsets(
    at: Route,
    request: readonly (TopicPartition & { readonly time: 'start' | 'end' | 'high' | number })[],
    timeoutMs?: number,
  ): Promise<readonly (PartitionResult & { readonly offset: number })[]>;
  /** Deletes the records below `before`. */
  deleteRecords(
    at: Route,
    request: readonly (TopicPartition & { readonly before: number })[],
    timeoutMs?: number,
  ): Promise<readonly (PartitionResult & { readonly start: number })[]>;

  /** Joins a group. Resolves when all members have joined or `rebalanceMs` has passed; the deadline is 2 s later. */
  joinGroup(at: Route, join: JoinGroupRequest): Promise<JoinGroupResponse>;
  /** Returns the member's own assignment; empty bytes mean none. Only the leader passes `assignments`. */
  syncGroup(
    at: Route,
    as: MemberIdentity,
    assignments: readonly { readonly memberId: string; readonly assignment: Uint8Array }[],
    timeoutMs: number,
  ): Promise<Uint8Array>;
  heartbeat(at: Route, as: MemberIdentity, timeoutMs?: number): Promise<void>;
  leaveGroup(at: Route, group: string, memberId: string, timeoutMs?: number): Promise<void>;
  offsetCommit(
    at: Route,
    as: MemberIdentity,
    places: readonly OffsetToCommit[],
    timeoutMs?: number,
  ): Promise<readonly PartitionResult[]>;
  /** Returns the committed offsets of these partitions, or all of the group for null. */
  offsetFetch(
    at: Route,
    group: string,
    topicPartitions: readonly TopicPartition[] | null,
    timeoutMs?: number,
  ): Promise<readonly CommittedOffset[]>;

  createTopics(at: Route, topics: readonly NewTopic[], timeoutMs?: number): Promise<readonly TopicResult[]>;
  deleteTopics(at: Route, topics: readonly string[], timeoutMs?: number): Promise<readonly TopicResult[]>;
  /** Raises the number of partitions to `partitions`. */
  createPartitions(at: Route, topic: string, partitions: number, timeoutMs?: number): Promise<void>;
  describeTopicConfigs(at: Route, topics: readonly string[], timeoutMs?: number): Promise<readonly TopicConfigs[]>;
  /** Returns these settings of the broker `at`. */
  describeBrokerConfigs(
    at: Route,
    names: readonly string[],
    timeoutMs?: number,
  ): Promise<Readonly<Record<string, string>>>;
  /** Sets these settings of a topic and leaves all other settings unchanged. */
  incrementalAlterConfigs(
    at: Route,
    topic: string,
    configs: Readonly<Record<string, string>>,
    timeoutMs?: number,
  ): Promise<void>;

  /** Returns the producers that have written to these partitions. `at` must lead them. */
  describeProducers(
    at: Route,
    topicPartitions: readonly TopicPartition[],
    timeoutMs?: number,
  ): Promise<readonly PartitionProducers[]>;
  /** Returns transactional ids of these producers, limited to transactions that the broker `at` coordinates. */
  listTransactions(
    at: Route,
    producerIds: readonly number[],
    timeoutMs?: number,
  ): Promise<readonly { readonly id: string; readonly producerId: number }[]>;
  /** Describes transactions. `at` must coordinate them, see `listTransactions`. */
  describeTransactions(at: Route, ids: readonly string[], timeoutMs?: number): Promise<readonly Transaction[]>;

  /** Returns the groups that the broker `at` coordinates. */
  listGroups(
    at: Route,
    timeoutMs?: number,
  ): Promise<readonly { readonly group: string; readonly protocolType: string }[]>;
  /** Deletes groups without members. A group with members gets NON_EMPTY_GROUP. `at` must coordinate all of them. */
  deleteGroups(
    at: Route,
    groups: readonly string[],
    timeoutMs?: number,
  ): Promise<readonly { readonly group: string; readonly error: KafkaError | null }[]>;
  describeGroups(at: Route, groups: readonly string[], timeoutMs?: number): Promise<readonly Group[]>;
}
