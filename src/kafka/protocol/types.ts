/** Requests and responses of Kafka as plain data. */
import type { LogRecord, Stored } from '../../ports/log';
import type { WireError } from './errors';

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
