/** A Kafka client library reduced to its requests: one request, one broker, one answer, no retries. Makers: kafkajs. */
import type { Closable } from '../../base/lifecycle';
import type { LogRecord, Stored } from '../../ports/log';
import type { WireError } from '../protocol/errors';

/**
 * Which of the connections to a broker. A broker answers the requests of one connection one after another: what waits
 * (a fetch for records, a join for the others, a produce for its replicas) holds up all that is behind it.
 */
export type Via = 'produce' | 'post' | 'inbox' | 'tails' | 'work' | 'admin' | `group:${string}`;
export interface At {
  readonly node: number;
  readonly via: Via;
}
export interface Spot {
  readonly topic: string;
  readonly partition: number;
}
/** One partition's part of an answer. `error` is null when it went well. */
export interface Answer extends Spot {
  readonly error: WireError | null;
}

export interface Metadata {
  readonly cluster: string;
  /** The node to ask for changes of topics. */
  readonly controller: number;
  readonly nodes: readonly Node[];
  readonly topics: readonly TopicMetadata[];
}
export interface Node {
  readonly node: number;
  readonly host: string;
  readonly port: number;
}
export interface TopicMetadata {
  readonly name: string;
  readonly error: WireError | null;
  /** Kafka's own, such as __consumer_offsets. */
  readonly internal: boolean;
  /** By number, from 0. */
  readonly partitions: readonly PartitionMetadata[];
}
export interface PartitionMetadata {
  readonly partition: number;
  /** null while it has none. */
  readonly leader: number | null;
  /** Rises with each election of a leader; -1 where the broker does not know it. */
  readonly epoch: number;
  readonly replicas: readonly number[];
  readonly inSync: readonly number[];
}

/**
 * Identifies a batch to the broker that leads the partition. The broker writes a batch only if `sequence` follows the
 * last one that it has written for this producer id and epoch, so it writes each batch once, however often it is sent.
 */
export interface ProducerState {
  readonly id: number;
  /** A higher epoch starts at sequence 0. The broker refuses batches of lower ones from then on. */
  readonly epoch: number;
  /** Number of the first record of the batch, counted per partition from 0; after 2^31 - 1 it wraps to 0. */
  readonly sequence: number;
}
export interface Batch extends Spot {
  /** At least one; written in this order, as neighbours. */
  readonly records: readonly LogRecord[];
  /** Without it the broker writes the batch as often as it arrives. */
  readonly producer?: ProducerState;
}
export interface Produced extends Answer {
  /** Offset of the first record; -1 with an error. */
  readonly offset: number;
  /** When the broker took it, where the topic says LogAppendTime; else null. */
  readonly timeMs: number | null;
  /** Places in the batch of the records that were refused, where the broker names them. */
  readonly refused: readonly { readonly index: number; readonly reason: string }[];
}

export interface FetchAsk {
  readonly partitions: readonly (Spot & { readonly offset: number; readonly bytesMax: number })[];
  /** How long the broker may wait for `bytesMin` bytes. */
  readonly maxWaitMs: number;
  /** 1 unless said otherwise. */
  readonly bytesMin?: number;
  /** Of all partitions together; the first batch comes whole, however large. */
  readonly bytesMax: number;
  /** What the broker and the way get beyond `maxWaitMs`. Default 2,000. */
  readonly spareMs?: number;
}
export interface Fetched extends Answer {
  /** In order, from the offset asked for on; copies. What transactions aborted is left out, as are control records. */
  readonly records: readonly Stored[];
  /** Where to read on: behind all that the answer held, also when it held nothing to give out. */
  readonly next: number;
  /** First offset that is there, and the first that cannot be read yet; -1 with an error. */
  readonly start: number;
  readonly end: number;
  /** Where the log ends. It is behind `end` while a transaction is open there; -1 with an error. */
  readonly high: number;
}

export interface Join {
  readonly group: string;
  /** '' for somebody new, who is refused with MEMBER_ID_REQUIRED and the id to use. */
  readonly memberId: string;
  readonly sessionMs: number;
  /** How long the others have to join again. */
  readonly rebalanceMs: number;
  readonly protocols: readonly { readonly name: string; readonly metadata: Uint8Array }[];
}
export interface Joined {
  readonly generation: number;
  readonly memberId: string;
  readonly leaderId: string;
  readonly protocol: string;
  /** Only for the leader. */
  readonly members: readonly { readonly id: string; readonly metadata: Uint8Array }[];
}
/** Who speaks: a member of a generation. A generation of -1 with '' as member is an outsider of an empty group. */
export interface MemberAs {
  readonly group: string;
  readonly generation: number;
  readonly memberId: string;
}
export interface CommitSpot extends Spot {
  readonly offset: number;
  /** At most 4,096 bytes on most brokers. */
  readonly metadata: string;
}
export interface FetchedOffset extends Answer {
  /** null where nothing was committed. */
  readonly offset: number | null;
  readonly metadata: string;
}

export interface NewTopic {
  readonly name: string;
  readonly partitions: number;
  /** -1 for the broker's default. */
  readonly replicas: number;
  readonly configs: Readonly<Record<string, string>>;
}
export interface TopicAnswer {
  readonly topic: string;
  readonly error: WireError | null;
}
export interface TopicConfigs extends TopicAnswer {
  /** `isDefault`: nobody set it for this topic. */
  readonly configs: Readonly<Record<string, { readonly value: string; readonly isDefault: boolean }>>;
}
export interface Group {
  readonly group: string;
  readonly error: WireError | null;
  /** Stable, PreparingRebalance, CompletingRebalance, Empty, Dead. */
  readonly state: string;
  readonly protocolType: string;
  readonly protocol: string;
  readonly members: readonly GroupMember[];
}
export interface GroupMember {
  readonly id: string;
  readonly clientId: string;
  readonly host: string;
  readonly metadata: Uint8Array;
  readonly assignment: Uint8Array;
}

/** A producer that has written to a partition, as its leader remembers it. */
export interface ActiveProducer {
  readonly producerId: number;
  readonly epoch: number;
  readonly lastWrittenMs: number;
  /** Offset of the first record of its open transaction; null if it has none there. */
  readonly openFrom: number | null;
}
export interface PartitionProducers extends Answer {
  readonly producers: readonly ActiveProducer[];
}
export interface Transaction {
  /** The transactional id. */
  readonly id: string;
  readonly error: WireError | null;
  /** Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort, PrepareEpochFence, Dead. */
  readonly state: string;
  readonly timeoutMs: number;
  /** null when none has begun. */
  readonly startMs: number | null;
  readonly producerId: number;
  readonly epoch: number;
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
