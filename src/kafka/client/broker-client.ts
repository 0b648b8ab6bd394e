/** Defines the requests to a Kafka cluster: one broker, one response, no retries. connection-pool implements them. */
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
 * Purpose of a connection; each purpose has a connection of its own to each broker. A broker answers the requests of
 * one connection in order. A request that waits (Fetch for records, JoinGroup for other members, Produce for replicas)
 * would therefore delay every request after it.
 */
export type Via = 'produce' | 'post' | 'inbox' | 'tails' | 'work' | 'admin' | `group:${string}`;
export interface At {
  readonly node: number;
  readonly via: Via;
}
/**
 * Client of a Kafka cluster. Each call sends one request, once. Its deadline is `timeoutMs` after the call, connecting
 * included; the default is 5,000. It rejects with a WireError. The error of a single partition is in the partition's
 * result instead.
 *
 * A partition must occur at most once in a request. Results for partitions have the order of the request and cover
 * exactly its partitions, with UNVERIFIED for one that the response lacks. Other results are in any order.
 *
 * After DEADLINE the connection is closed, since later responses would wait behind the missing one. Other pending
 * requests on it reject with CONNECTION.
 */
export interface Wire extends Closable {
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
  produce(at: At, batches: readonly Batch[], timeoutMs: number): Promise<readonly Produced[]>;
  /**
   * Fetches records. Resolves when records or an error exist, or after `maxWaitMs`; the deadline is `spareMs` later.
   * When `signal` aborts, it resolves to [] immediately, while the connection stays busy until the broker answers. An
   * `error` with `until` means that the records at `next` arrived and cannot be read. If they arrived damaged, the
   * connection is closed.
   */
  fetch(at: At, ask: FetchAsk, signal?: AbortSignal): Promise<readonly Fetched[]>;
  /**
   * Returns the first offset at or after a time. 'end' is the offset at which readers must wait. 'high' is the offset
   * of the next record, which is higher while a transaction is open. A request must not contain both.
   */
  listOffsets(
    at: At,
    ask: readonly (Spot & { readonly time: 'start' | 'end' | 'high' | number })[],
    timeoutMs?: number,
  ): Promise<readonly (Answer & { readonly offset: number })[]>;
  /** Deletes the records below `before`. */
  deleteRecords(
    at: At,
    ask: readonly (Spot & { readonly before: number })[],
    timeoutMs?: number,
  ): Promise<readonly (Answer & { readonly start: number })[]>;

  /** Joins a group. Resolves when all members have joined or `rebalanceMs` has passed; the deadline is 2 s later. */
  join(at: At, join: Join): Promise<Joined>;
  /** Returns the member's own assignment; empty bytes mean none. Only the leader passes `assignments`. */
  sync(
    at: At,
    as: MemberAs,
    assignments: readonly { readonly memberId: string; readonly assignment: Uint8Array }[],
    timeoutMs: number,
  ): Promise<Uint8Array>;
  heartbeat(at: At, as: MemberAs, timeoutMs?: number): Promise<void>;
  leave(at: At, group: string, memberId: string, timeoutMs?: number): Promise<void>;
  commit(at: At, as: MemberAs, places: readonly CommitSpot[], timeoutMs?: number): Promise<readonly Answer[]>;
  /** Returns the committed offsets of these partitions, or all of the group for null. */
  fetchOffsets(
    at: At,
    group: string,
    spots: readonly Spot[] | null,
    timeoutMs?: number,
  ): Promise<readonly FetchedOffset[]>;

  createTopics(at: At, topics: readonly NewTopic[], timeoutMs?: number): Promise<readonly TopicAnswer[]>;
  deleteTopics(at: At, topics: readonly string[], timeoutMs?: number): Promise<readonly TopicAnswer[]>;
  /** Raises the number of partitions to `partitions`. */
  growTopic(at: At, topic: string, partitions: number, timeoutMs?: number): Promise<void>;
  topicConfigs(at: At, topics: readonly string[], timeoutMs?: number): Promise<readonly TopicConfigs[]>;
  /** Returns these settings of the broker `at`. */
  brokerConfigs(at: At, names: readonly string[], timeoutMs?: number): Promise<Readonly<Record<string, string>>>;
  /** Sets these settings of a topic and leaves all other settings unchanged. */
  alterTopic(at: At, topic: string, configs: Readonly<Record<string, string>>, timeoutMs?: number): Promise<void>;

  /** Returns the producers that have written to these partitions. `at` must lead them. */
  describeProducers(at: At, spots: readonly Spot[], timeoutMs?: number): Promise<readonly PartitionProducers[]>;
  /** Returns transactional ids of these producers, limited to transactions that the broker `at` coordinates. */
  listTransactions(
    at: At,
    producerIds: readonly number[],
    timeoutMs?: number,
  ): Promise<readonly { readonly id: string; readonly producerId: number }[]>;
  /** Describes transactions. `at` must coordinate them, see `listTransactions`. */
  describeTransactions(at: At, ids: readonly string[], timeoutMs?: number): Promise<readonly Transaction[]>;

  /** Returns the groups that the broker `at` coordinates. */
  listGroups(at: At, timeoutMs?: number): Promise<readonly { readonly group: string; readonly protocolType: string }[]>;
  /** Deletes groups without members. A group with members gets NON_EMPTY_GROUP. `at` must coordinate all of them. */
  deleteGroups(
    at: At,
    groups: readonly string[],
    timeoutMs?: number,
  ): Promise<readonly { readonly group: string; readonly error: WireError | null }[]>;
  describeGroups(at: At, groups: readonly string[], timeoutMs?: number): Promise<readonly Group[]>;
}
