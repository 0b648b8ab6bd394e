/** Defines Kafka's requests and responses as plain data, independent of their encoding. */
import type { LogRecord, Stored } from '../../ports/log';
import type { KafkaError } from './errors';

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}
/** Result of a request for one partition. `error` is null on success. */
export interface PartitionResult extends TopicPartition {
  readonly error: KafkaError | null;
}

export interface Metadata {
  readonly cluster: string;
  /** Node that accepts changes of topics. */
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
  readonly error: KafkaError | null;
  /** True for a topic of Kafka itself, such as __consumer_offsets. */
  readonly internal: boolean;
  /** Partitions in the order of their numbers, from 0. */
  readonly partitions: readonly PartitionMetadata[];
}
export interface PartitionMetadata {
  readonly partition: number;
  /** Node that leads the partition; null while there is none. */
  readonly leader: number | null;
  /** Leader epoch, which rises with each election; -1 if the broker does not know it. */
  readonly epoch: number;
  readonly replicas: readonly number[];
  readonly inSync: readonly number[];
}

/**
 * Identity of a batch for the leader of its partition. The broker writes a batch only if `sequence` follows the last
 * one of this producer id and epoch. It therefore writes each batch once, even if it is sent again.
 */
export interface ProducerState {
  readonly id: number;
  /** Producer epoch. A higher one starts at sequence 0; the broker then rejects batches of lower ones. */
  readonly epoch: number;
  /** Number of the batch's first record, counted per partition from 0. It wraps to 0 after 2^31 - 1. */
  readonly sequence: number;
}
export interface Batch extends TopicPartition {
  /** At least one record. They get consecutive offsets in this order. */
  readonly records: readonly LogRecord[];
  /** Identity for deduplication. Without it, the broker writes the batch each time it arrives. */
  readonly producer?: ProducerState;
}
export interface Produced extends PartitionResult {
  /** Offset of the batch's first record; -1 with an error. */
  readonly offset: number;
  /** Time at which the broker appended the batch, if the topic uses LogAppendTime; else null. */
  readonly timeMs: number | null;
  /** Rejected records by their index in the batch, if the broker lists them. */
  readonly refused: readonly { readonly index: number; readonly reason: string }[];
}

export interface FetchRequest {
  readonly partitions: readonly (TopicPartition & { readonly offset: number; readonly bytesMax: number })[];
  /** Time for which the broker can wait for `bytesMin` bytes. */
  readonly maxWaitMs: number;
  /** Minimum number of bytes that ends the wait. Default 1. */
  readonly bytesMin?: number;
  /** Limit of all partitions together. The first batch is returned whole even if it is larger. */
  readonly bytesMax: number;
  /** Time for the broker and the network beyond `maxWaitMs`. Default 2,000. */
  readonly spareMs?: number;
}
export interface Fetched extends PartitionResult {
  /** Copies of the records from the requested offset on, in order, without control records and aborted records. */
  readonly records: readonly Stored[];
  /** Offset at which to continue. It is also past the decoded records that `records` omits. */
  readonly next: number;
  /** First existing offset (`start`), and first offset that cannot be read yet (`end`); -1 with an error. */
  readonly start: number;
  readonly end: number;
  /** High watermark. It is greater than `end` while a transaction is open; -1 with an error. */
  readonly high: number;
}

export interface JoinGroupRequest {
  readonly group: string;
  /** Member id; '' for a new member, which is rejected with MEMBER_ID_REQUIRED and the id to use. */
  readonly memberId: string;
  readonly sessionMs: number;
  /** Time within which the other members must rejoin. */
  readonly rebalanceMs: number;
  readonly protocols: readonly { readonly name: string; readonly metadata: Uint8Array }[];
}
export interface JoinGroupResponse {
  readonly generation: number;
  readonly memberId: string;
  readonly leaderId: string;
  readonly protocol: string;
  /** Members with their metadata, only for the leader. */
  readonly members: readonly { readonly id: string; readonly metadata: Uint8Array }[];
}
/**
 * Sender of a group request. Generation -1 with member id '' stands for a client outside the group, which must have no
 * members.
 */
export interface MemberIdentity {
  readonly group: string;
  readonly generation: number;
  readonly memberId: string;
}
export interface OffsetToCommit extends TopicPartition {
  readonly offset: number;
  /** Metadata of the commit; at most 4,096 bytes unless brokers are configured otherwise. */
  readonly metadata: string;
}
export interface CommittedOffset extends PartitionResult {
  /** Committed offset; null if there is none. */
  readonly offset: number | null;
  readonly metadata: string;
}

export interface NewTopic {
  readonly name: string;
  readonly partitions: number;
  /** Replication factor; -1 for the broker's default. */
  readonly replicas: number;
  readonly configs: Readonly<Record<string, string>>;
}
export interface TopicResult {
  readonly topic: string;
  readonly error: KafkaError | null;
}
export interface TopicConfigs extends TopicResult {
  /** Settings by name. `isDefault` is true if the value is not set on this topic. */
  readonly configs: Readonly<Record<string, { readonly value: string; readonly isDefault: boolean }>>;
}
export interface Group {
  readonly group: string;
  readonly error: KafkaError | null;
  /** Group state: Stable, PreparingRebalance, CompletingRebalance, Empty or Dead. */
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

/** Producer that has written to a partition, as reported by the partition's leader. */
export interface ActiveProducer {
  readonly producerId: number;
  readonly epoch: number;
  readonly lastWrittenMs: number;
  /** Offset of the first record of its open transaction in the partition; null if it has none. */
  readonly openFrom: number | null;
}
export interface PartitionProducers extends PartitionResult {
  readonly producers: readonly ActiveProducer[];
}
export interface Transaction {
  /** Transactional id. */
  readonly id: string;
  readonly error: KafkaError | null;
  /** State: Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort, PrepareEpochFence or Dead. */
  readonly state: string;
  readonly timeoutMs: number;
  /** Start time of the transaction; null if none has begun. */
  readonly startMs: number | null;
  readonly producerId: number;
  readonly epoch: number;
}
